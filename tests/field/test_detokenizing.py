"""What goes into a tokenizer of words and comes out again, sign by sign."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.text.detokenizer import detokenize
from carousel.text.vocabulary import train_tokenizer

SAME = [
    # quotation marks
    "she said 'yes'",
    "he says 'yes' and she says 'no'",
    "'well,' he asked, 'why?'",
    'she said "yes" and "no"',
    "a “quote” and ‘another’ one",
    "„hallo“ sagte er",
    "«oui» dit-elle",
    # apostrophes
    "the dogs' bowls",
    "the dogs' bowls and the cats' food",
    "'tis rock 'n' roll",
    "'Tis the season, fish 'n' chips",
    "the music of the '90s and the '80s",
    "he said 'the '60s were loud' and left",
    "'twas the summer of '69",
    "she said 'rock 'n' roll' twice",
    "get 'em before the dogs' dinner",
    "the 1st, the 2nd, the 3rd and the 20th of the 1990s",
    "it's o'clock, isn't it?",
    # brackets
    "a (small) word [sic] in {three} kinds",
    "(he said (twice) so)",
    "see [1], [2] and (3).",
    # prices and numbers
    "it costs $5, £6.50 or €7",
    "10,000 people, 3.14 pies and 5% more",
    "in 1999, 2000 people came",
    # times and dates
    "at 12:30 or 5 p.m. on 12/03/2020",
    "the train of 7:05 came at 7:15.",
    "today: 30 degrees, 25° in the shade",
    # addresses
    "see https://www.example.com/a?b=c&d=1#e now",
    "go to www.example.com, or example.org.",
    "mail anna@example.com or ask @anna",
    # hashtags and the like
    "#tag and #another at 9",
    "well-known and/or snake_case",
    "¿qué? ¡no! wait... so",
    # other scripts
    "नमस्ते। अच्छा।",
    "مرحبا، كيف؟",
    "我爱你。你好！",
]


@pytest.mark.filterwarnings("ignore::carousel.errors.UnspacedScriptWarning")
@pytest.mark.parametrize("text", SAME)
def test_what_goes_in_comes_out(text):
    tokenizer = train_tokenizer("words", [text], lowercase=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_cut_again_it_is_the_same_tokens(data):
    tokens = sorted({token for text in SAME for token in cut(text)})
    drawn = data.draw(st.lists(st.sampled_from(tokens), max_size=12))
    ids = [TOKENIZER.id(token) for token in drawn]
    assert TOKENIZER.encode(detokenize(drawn)) == ids


TOKENIZER = train_tokenizer("words", SAME, lowercase=False)


def cut(text):
    return [TOKENIZER.token(id) for id in TOKENIZER.encode(text)]
