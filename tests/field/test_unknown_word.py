"""The unknown word is trained: new words in a text cost what words that occur once cost."""

import math
import random

import pytest

import carousel

SIZES = {
    "hidden_size": 24, "embedding_size": 24, "batch_size": 8, "bptt": 24, "epochs": 6,
    "learning_rate": 0.01, "threads": 1, "progress": False, "lowercase": False,
}  # fmt: skip
KINDS = {
    "names": ("the mayor of {} lives in {}", "words", "Anna{}"),
    "numbers in Hindi": ("उसके पास {} किताबें और {} कलम", "whitespace", "सं{}"),
    "Cyrillic": ("{} пришёл домой , а {} нет", "words", "Имя{}"),
}


def letters(number):
    """A number in letters, as a word has them."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def texts(kind):
    pattern, tokenizer, word = KINDS[kind]
    rng = random.Random(0)
    names = [word.format(letters(number)) for number in range(10000, 11200)]
    train = [pattern.format(*rng.sample(names[:20], 2)) for _ in range(300)]
    train += [pattern.format(names[n], names[n + 1]) for n in range(20, 420, 2)]
    held = [pattern.format(names[n], names[n + 1]) for n in range(600, 800, 2)]
    rng.shuffle(train)
    return "\n".join(train) + "\n", "\n".join(held) + "\n", tokenizer


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_text_with_new_words_is_predicted_well(tmp_path, kind):
    train, held, tokenizer = texts(kind)
    (tmp_path / "t.txt").write_text(train, encoding="utf-8")
    (tmp_path / "h.txt").write_text(held, encoding="utf-8")
    found = {}
    for probability in (None, 0.0):
        model = carousel.train(
            tmp_path / "t.txt", tokenizer=tokenizer, unk_probability=probability, **SIZES
        )
        found[probability] = model.evaluate(tmp_path / "h.txt")
    assert found[None].unknown_rate == found[0.0].unknown_rate > 0.2
    # A name is one of the 400 that occur once, or one of the 20 others.
    assert found[None].perplexity * 1.5 < found[0.0].perplexity
    names = found[None].unknown_rate
    at_best = math.exp(names * math.log(2.5))  # two of five names occur once
    assert found[None].perplexity > at_best


def test_min_count_two_trains_as_before(tmp_path):
    train, _, _ = texts("names")
    (tmp_path / "t.txt").write_text(train)
    weights = [
        carousel.train(
            tmp_path / "t.txt", min_count=2, unk_probability=p, **(SIZES | {"epochs": 1})
        ).model.weights["embedding.weight"]
        for p in (0.0, 0.5)
    ]
    assert (weights[0] == weights[1]).all()
