"""Words of many scripts: half-typed ones, joiners and signs within them, Unicode's boundaries."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from carousel.errors import UnspacedScriptWarning
from carousel.text.tokenizer import FIRST_WORD, Tokenizer
from carousel.text.vocabulary import train_tokenizer

WORDS = {
    "Latin": "château naïve señor łódź don't l'été",
    "Greek": "λόγος ἄνθρωπος ταΐζω",
    "Cyrillic": "книга ёлка її",
    "Armenian": "գիրք բարև",
    "Hebrew": "שָׁלוֹם סֵפֶר צה״ל ג׳ירפה",
    "Arabic": "كِتَابٌ مُحَمَّد می‌خواهم",
    "Devanagari": "किताब कलम हिन्दी क्षत्रिय",
    "Bengali": "বই কলম বাংলা",
    "Tamil": "புத்தகம் தமிழ்",
    "Thai": "หนังสือ ภาษาไทย",
    "Khmer": "សៀវភៅ ខ្មែរ",
    "Hangul": "한국어 책",
    "Malayalam": "പുസ്തകം മലയാളം",
}
pytestmark = pytest.mark.filterwarnings("ignore::carousel.errors.UnspacedScriptWarning")
scripts = pytest.mark.parametrize("script", WORDS)
FORMS = ("NFC", "NFD")


@scripts
@pytest.mark.parametrize("form", FORMS)
def test_a_half_typed_word_is_whole_at_every_keystroke(script, form):
    for kind in ("words", "whitespace", "chars", "bpe"):
        tokenizer = train_tokenizer(kind, [WORDS[script]] * 3)
        for word in WORDS[script].split():
            word = unicodedata.normalize(form, word)
            for typed in (word[:end] for end in range(1, len(word) + 1)):
                assert tokenizer.split_prefix(f"x {typed}") == ("x ", typed)
                assert tokenizer.split_prefix(typed) == ("", typed)


@scripts
@pytest.mark.parametrize("form", FORMS)
def test_complete_is_prefix_at_every_keystroke(script, form, make_model):
    text = f"{WORDS[script]}\n" * 3
    model = make_model(text=text)
    context = WORDS[script].split()[0]
    for word in WORDS[script].split():
        word = unicodedata.normalize(form, word)
        for typed in (word[:end] for end in range(1, len(word) + 1)):
            by_prefix = model.next_words(context, k=3, prefix=typed)
            assert model.next_words(f"{context} {typed}", k=3, complete=True) == by_prefix
            if unicodedata.normalize("NFC", typed) in unicodedata.normalize("NFC", word):
                starts = [w.word.startswith(model.tokenizer.normalize(typed)) for w in by_prefix]
                assert all(starts)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_random_words_of_all_scripts(data):
    script = data.draw(st.sampled_from(sorted(WORDS)))
    letters = sorted(set(WORDS[script]) - {" "})
    first = data.draw(st.sampled_from([c for c in letters if c.isalpha()]))
    parts = [c for c in letters if unicodedata.category(c)[0] in "LM" or c == "\u200c"]
    rest = data.draw(st.text(alphabet=parts))
    form = data.draw(st.sampled_from(FORMS))
    word = unicodedata.normalize(form, first + rest)
    tokenizer = train_tokenizer("words", [WORDS[script]])
    for end in range(1, len(word) + 1):
        assert tokenizer.split_prefix(f"x {word[:end]}") == ("x ", word[:end])


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("می‌خواهم", ["می‌خواهم"]),
        ("خانه‌ها نمی‌دانم", ["خانه‌ها", "نمی‌دانم"]),
        ("क्‍ष नमस्ते", ["क्‍ष", "नमस्ते"]),
        ("co\u00adoperate", ["co\u00adoperate"]),
        ("a\ufeffb", ["a\ufeffb"]),
        ("葛\U000e0100城", ["葛\U000e0100城"]),
        ("👨‍👩‍👧👍🏽🏳️‍🌈", ["👨‍👩‍👧", "👍🏽", "🏳️‍🌈"]),
        ("🇫🇷🇩🇪", ["🇫🇷", "🇩🇪"]),
        ("1️⃣ ❤️", ["1️⃣", "❤️"]),
        ("\u200e[12] \u200eimage", ["\u200e", "[", "12", "]", "\u200e", "image"]),
        ("col·lecció", ["col·lecció"]),
        ("ไทย\u200bไทย", ["ไทย", "\u200b", "ไทย"]),
    ],
)
def test_joiners_and_signs_belong_to_words(text, tokens):
    tokenizer = train_tokenizer("words", [text])
    assert [tokenizer.token(id) for id in tokenizer.encode(text)] == tokens
    decoded = tokenizer.decode(tokenizer.encode(text))
    assert "".join(decoded.split()) == "".join(unicodedata.normalize("NFC", text).split())
    assert tokenizer.encode(decoded) == tokenizer.encode(text)


@scripts
@pytest.mark.parametrize("form", FORMS)
def test_what_goes_in_comes_out(script, form):
    text = unicodedata.normalize(form, WORDS[script])
    tokenizer = train_tokenizer("words", [text], lowercase=False)
    expected = unicodedata.normalize("NFC", text)
    assert tokenizer.decode(tokenizer.encode(text)) == expected


@scripts
def test_words_end_where_unicode_s_boundaries_are(script):
    """Oniguruma's own segmentation into words (annex 29), which leaves Thai to dictionaries."""
    if script in ("Thai", "Khmer"):
        pytest.skip("words are not separated: a run of letters is one token")
    unicode_words = pre_tokenizers.Split(Regex(r"(?y{w})\X"), "isolated")
    tokenizer = train_tokenizer("words", [WORDS[script]], lowercase=False)
    for form in FORMS:
        text = unicodedata.normalize(form, WORDS[script])
        expected = [word for word, _ in unicode_words.pre_tokenize_str(text) if word.strip()]
        cut = tokenizer._library.pre_tokenizer.pre_tokenize_str(text)
        assert [word for word, _ in cut] == expected


def test_older_tokenizers_go_on_with_their_own_pattern():
    table = train_tokenizer("words", ["می‌خواهم krish"]).to_json()
    older = json.loads(table)
    older["pre_tokenizer"]["pattern"]["Regex"] = FIRST_WORD
    tokenizer = Tokenizer.from_json(json.dumps(older))
    assert tokenizer.kind == "words"
    assert len(tokenizer.encode("می‌خواهم")) == 3
    assert tokenizer.to_json() == Tokenizer.from_json(tokenizer.to_json()).to_json()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("我爱你。你好！", "Chinese or Japanese"),
        ("吾輩は猫である。名前はまだ無い。", "Japanese"),
        ("ภาษาไทย หนังสือ", "Thai"),
        ("ភាសាខ្មែរ", "Khmer"),
        ("ພາສາລາວ", "Lao"),
        ("မြန်မာဘာသာ", "Burmese"),
    ],
)
def test_training_says_that_words_are_not_separated(text, script):
    with pytest.warns(UnspacedScriptWarning, match=f"^.*{script}.* chars or bpe"):
        train_tokenizer("words", [text])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["한국어 책", "the 猫 sat on a mat", "किताब", "книга", "123 !"])
def test_where_words_are_separated_nothing_is_said(text):
    train_tokenizer("words", [text])
    train_tokenizer("chars", ["我爱你"])
