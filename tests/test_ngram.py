"""The n-gram models that a recurrent model is compared with."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from carousel.ngram import NGramModel, measure_baselines


def zipfian(seed, size, kinds):
    return np.random.default_rng(seed).zipf(1.4, size) % kinds


def by_definition(text, order, vocab_size, context, word):
    """Interpolated Kneser-Ney as the paper writes it, with dictionaries and one recursion."""

    def counts_of(length):
        grams = [tuple(text[at : at + length]) for at in range(len(text) - length + 1)]
        if length == order:
            return Counter(grams)
        longer = {tuple(text[at : at + length + 1]) for at in range(len(text) - length)}
        return Counter(gram[1:] for gram in longer)

    def probability(length, history):
        if length == 0:
            return 1 / vocab_size
        counts = counts_of(length)
        history = tuple(history[len(history) - length + 1 :])
        of_counts = Counter(counts.values())
        n1, n2, n3, n4 = (of_counts[k] for k in (1, 2, 3, 4))
        discounts = (0.5, 1.0, 1.5)
        if n1 and n2 and n3:
            y = n1 / (n1 + 2 * n2)
            found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            if all(0 <= d <= k for k, d in enumerate(found, 1)):
                discounts = found
        following = {gram[-1]: n for gram, n in counts.items() if gram[:-1] == history}
        total = sum(following.values())
        lower = probability(length - 1, history)
        if not total:
            return lower
        taken = {w: discounts[min(n, 3) - 1] for w, n in following.items()}
        own = (following[word] - taken[word]) / total if word in following else 0.0
        return own + sum(taken.values()) / total * lower

    return probability(order, context)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_kneser_ney_as_the_paper_writes_it(order):
    text = zipfian(1, 300, 12)
    test = zipfian(2, 30, 12)
    found = NGramModel(text, 12, order).log_probs(test)
    for at in range(order, len(test)):
        expected = by_definition(text.tolist(), order, 12, test[:at].tolist(), test[at])
        assert found[at] == pytest.approx(math.log(expected), abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("history", [[], [3], [1, 2, 1, 3, 2, 4], [19, 19, 19]])
def test_probabilities_add_up_to_one(order, history):
    model = NGramModel(zipfian(3, 2_000, 18), 20, order)  # 18 and 19 never occur
    total = sum(math.exp(model.log_probs(np.array([*history, word]))[-1]) for word in range(20))
    assert total == pytest.approx(1, abs=1e-12)


def test_a_longer_memory_helps_where_the_text_has_one():
    text = np.tile([0, 1, 2, 0, 1, 3], 200)  # what follows 1 was decided two tokens before
    found = measure_baselines(text, text[:60], 4, eol_id=0)
    assert found.five_gram < 1.1 < 3 < found.unigram < 4


def test_a_text_shorter_than_the_order_is_no_error():
    assert NGramModel(np.array([1, 2]), 5).perplexity(np.array([1, 2, 3])) < 6


@pytest.mark.slow
def test_it_comes_near_to_kenlm_on_wikitext(data):
    """KenLM's 5-gram has 234.9 on the same tokens, which it reads line by line."""
    folder = data / "wikitext-2"
    ids = defaultdict(lambda: len(ids))
    lines = ((folder / name).read_text("utf-8").splitlines() for name in ("train.txt", "valid.txt"))
    train, valid = (
        np.array([ids[w] for line in text for w in [*line.split(), "<eos>"]]) for text in lines
    )
    perplexity = NGramModel(train, len(ids)).perplexity(valid, start=ids["<eos>"])
    assert 220 < perplexity < 250
