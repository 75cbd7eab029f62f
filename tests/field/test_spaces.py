"""A space at the end, for models of characters and byte pairs: read once, whoever reads it."""

import json
import shlex

import numpy as np
import pytest

from by_hand import softmax_by_hand
from carousel.cli import run
from carousel.cli.prompt import Suggester
from carousel.predict.alphabet import alphabet_of
from carousel.text.scripts import is_unspaced
from carousel.text.tokenizer import END_OF_LINE, UNKNOWN
from front_door import read_logits

TEXTS = {
    "Latin": 'the cat sat on the mat\nkrish likes pizza\nthe dog\'s bowl (red) "so" he said\n',
    "Cyrillic": "книга лежит на столе\nёлка стоит у дома\n",
    "Hindi": "मेरी किताब है\nमेरी कलम है\n",
    "Greek": "ο λόγος του ανθρώπου\nτο βιβλίο\n",
    "Hebrew": "שלום לכם כאן\nספר טוב\n",
    "Arabic": "كتاب محمد هنا\nكتاب جديد\n",
}
texts = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
kinds = pytest.mark.parametrize("kind", ["words", "whitespace", "chars", "bpe"])


@pytest.fixture
def make(make_model):
    def make(kind, text, **sizes):
        return make_model(kind=kind, text=text * 3, vocab=280 if kind == "bpe" else None, **sizes)

    return make


def same(one, other):
    assert [p.word for p in one] == [p.word for p in other]
    assert [p.probability for p in one] == pytest.approx([p.probability for p in other], 1e-4)


@texts
@kinds
def test_with_a_space_or_without_the_next_word_is_the_same(make, kind, text):
    model = make(kind, text)
    context = " ".join(text.split()[:2])
    words = model.next_words(context, k=4)
    assert words
    same(model.next_words(f"{context} ", k=4), words)
    session = model.session()
    session.feed(f"{context} ")
    same(session.next_words(k=4), words)


@texts
@kinds
def test_complete_is_prefix_is_the_prompt_at_every_keystroke(make, kind, text):
    model = make(kind, text)
    first, second = text.split()[:2]
    suggester = Suggester(model, 3)
    for end in range(1, len(second) + 1):
        typed = second[:end]
        expected = model.next_words(first, k=3, prefix=typed)
        same(model.next_words(f"{first} {typed}", k=3, complete=True), expected)
        same(model.next_words(f"{first} ", k=3, prefix=typed), expected)
        same(suggester.suggest(f"{first} {typed}")[0], expected)


@pytest.mark.parametrize("before", ['he said "', "(", "the dog-", "a/"])
@pytest.mark.parametrize("kind", ["chars", "bpe"])
def test_a_word_within_brackets_or_quotation_marks_follows_at_once(make, kind, before):
    model = make(kind, TEXTS["Latin"] + 'the "cat" (mat) a/b so-so\n')
    expected = model.next_words(before, k=3, prefix="s")
    same(model.next_words(f"{before}s", k=3, complete=True), expected)


def test_byte_pairs_read_the_space_with_the_word(make):
    model = make("bpe", TEXTS["Latin"])
    tokenizer = model.tokenizer
    read = []
    session = model.session()
    whole = tokenizer.encode("the cat sat")
    step = model.model.read
    model.model.read = lambda ids, state, record=(): (
        read.extend(ids[:, 0].tolist()) or step(ids, state, record)
    )
    for part in ("the ", "cat ", "sat"):
        session.feed(part)
    assert read == whole


@kinds
@pytest.mark.parametrize("text", ["the cat ", "krish likes "])
def test_generation_goes_on_after_the_space(make, kind, text):
    model = make(kind, TEXTS["Latin"])
    for seed in range(5):
        whole = model.generate(text, max_tokens=12, seed=seed)
        assert whole.startswith(text)
        if kind != "chars":
            assert not whole[len(text) :].startswith(" ")


UNSPACED = {
    "Chinese": ("我喜欢披萨", "我爱你。我喜欢披萨。他不喜欢汉堡。\n"),
    "Thai": ("ฉันชอบ", "ฉันชอบพิซซ่า\nเขาไม่ชอบ\n"),
    "Japanese": ("私は猫が", "私は猫が好きです。彼は犬が好きです。\n"),
}


@pytest.mark.filterwarnings("ignore::carousel.errors.UnspacedScriptWarning")
@pytest.mark.parametrize("script", UNSPACED)
def test_byte_pairs_offer_words_in_scripts_without_spaces(make_model, script):
    text, corpus = UNSPACED[script]
    # 262 tokens: all but four are single bytes, so that every character is cut.
    for vocab in (262, 300):
        model = make_model(kind="bpe", text=corpus * 5, vocab=vocab, scale=0.3)
        words = model.next_words(text, k=5)
        assert len(words) == 5
        assert all("\ufffd" not in word and word.isprintable() for word, _ in words)
        half = text[-2:]
        expected = model.next_words(text[:-2], k=3, prefix=half)
        assert expected
        assert all(word.startswith(half) for word, _ in expected)
        generated = model.generate(text, max_tokens=60, seed=1)
        assert "\ufffd" not in generated


@pytest.mark.parametrize("word", ["ऋ", "\u0916", "ß"])
def test_words_cut_within_a_character_are_found_as_by_enumeration(make_model, word):
    """A word's share is the product of its tokens' probabilities, over all ways to spell it."""
    model = make_model(kind="bpe", text="मेरी किताब है\n" * 3, vocab=262, scale=0.3)
    tokenizer = model.tokenizer
    alphabet = alphabet_of(tokenizer)
    wanted = f" {word}".encode()
    # All sequences of tokens that spell the word, with their probabilities.
    spellings = [(b"", 1.0, *read_logits(model, tokenizer.encode("मेरी")))]
    share = 0.0
    while spellings:
        spelled, p, logits, state = spellings.pop()
        probabilities = np.array(softmax_by_hand(logits))
        if spelled == wanted:
            letters = alphabet.go_on(b"") & (not is_unspaced(word))
            share += p * (1 - probabilities[letters].sum())
            continue
        for id in range(2, tokenizer.vocab_size):
            longer = spelled + alphabet.surfaces[id]
            if wanted.startswith(longer):
                scores, after = model.model.step([id], state)
                spellings.append((longer, p * probabilities[id], scores[0], after))
    found = dict(model.next_words("मेरी", k=400))
    # The beam may lose a way to spell it that is very unlikely.
    assert 0.98 * share < found[word] < 1.0001 * share


# 5: a next step that is printed works as it is

NEXT = {
    "words": "the cat sat on the mat\n",
    "whitespace": '"Quoted" $HOME the-cat --flag; `sat`\n',
    "chars": "le château\n",
    "bpe": "მთა ზღვა ცა\n",
    "chars of Chinese": "我爱你。他也是。\n",
    "words of numbers": "1 2 3 4 5 6 7 8 9\n",
    "bpe of signs": "+ - * / = + -\n",
    "whitespace of numbers": "10 20 30 40\n",
}


@pytest.mark.parametrize("name", NEXT)
def test_the_next_step_works_on_the_very_model(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(NEXT[name] * 40, encoding="utf-8")
    folder = "my model; it's"
    small = ["--hidden-size", "4", "--embedding-size", "4", "--epochs", "1", "--threads", "1"]
    kind = ["--tokenizer", name.split()[0]]
    assert run(["train", "t.txt", "--out", folder, *kind, *small]) == 0
    command = capsys.readouterr().out.rstrip("\n").split("\n")[-1]
    assert command == command.rstrip()
    program, *arguments = shlex.split(command)
    assert program == "carousel"
    assert arguments[1] == folder
    assert run([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    if arguments[0] == "predict":
        assert arguments[2] == arguments[2].strip()
        assert answer["predictions"]
        assert answer["unknown"] == []
    else:
        assert answer["generated"]
    assert UNKNOWN not in json.dumps(answer)
    assert END_OF_LINE not in json.dumps(answer)
