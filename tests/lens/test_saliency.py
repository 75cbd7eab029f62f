"""The memory span: gradients against automatic differentiation, replacements against rereading."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS, Weights
from carousel.errors import LensError
from carousel.lens import saliency as module
from carousel.lens.clamp import Clamp
from carousel.lens.saliency import embedding_gradients, measure_saliency, replacement_changes
from carousel.predict.word_index import word_index
from carousel.softmax import softmax
from carousel.unroll import initial_state, unroll
from front_door import parts, read_logits

TEXT = "the cat likes pizza but the dog likes pie so she orders"


def by_autograd(model, ids, word, against=None):
    """The same scores and gradients by PyTorch, through the same lines of ``cells.py``."""
    config = model.config
    weights = {
        name: torch.tensor(w, dtype=torch.float64) for name, w in model.model.weights.items()
    }
    layers = [
        Weights(*(None if w is None else torch.tensor(w, dtype=torch.float64) for w in layer))
        for layer in model.model.layers
    ]
    x = weights["embedding.weight"][torch.tensor(ids)].requires_grad_()
    state = initial_state(
        model.model.cell, config.layers, ids.shape[1], config.hidden_size, x.detach()
    )
    hidden, _ = unroll(model.model.cell, layers, x, state)
    last = hidden[-1]
    if "projection.weight" in weights:
        last = last @ weights["projection.weight"].T
    decoder = weights["embedding.weight" if config.tied else "decoder.weight"]
    logits = last @ decoder.T + weights["decoder.bias"]
    rows = range(ids.shape[1])
    if against is None:
        score = logits.log_softmax(1)[rows, word]
    else:
        score = logits[rows, word] - logits[rows, against]
    score.sum().backward()
    return score.detach().numpy(), x.grad.numpy()


@settings(max_examples=40, deadline=None)
@given(
    cell=st.sampled_from(list(CELLS)),
    layers=st.integers(1, 3),
    tied=st.booleans(),
    biases=st.booleans(),
    seed=st.integers(0, 999),
    length=st.integers(1, 25),
    difference=st.booleans(),
)
def test_the_gradient_is_the_one_of_automatic_differentiation(
    make_model, cell, layers, tied, biases, seed, length, difference
):
    model = make_model(cell, layers=layers, tied=tied, biases=biases, seed=seed, hidden_size=7)
    rng = np.random.default_rng(seed)
    V = model.config.vocab_size
    ids = rng.integers(V, size=(length, 3))
    word, other = rng.permutation(V)[:3], rng.permutation(V)[3:6]
    against = other if difference else None
    score, gradient = embedding_gradients(model.model, ids, word, against)
    wanted_score, wanted = by_autograd(model, ids, word, against)
    np.testing.assert_allclose(score, wanted_score, rtol=1e-6)
    assert gradient.shape == (length, 3, model.config.embedding_size)
    scale = np.abs(wanted).max(axis=2, keepdims=True)
    assert (np.abs(gradient - wanted) <= 1e-6 * scale + 1e-15).all()


def test_a_small_step_changes_the_score_as_the_gradient_says(make_model):
    model = make_model("lstm-peephole", layers=2)
    span = measure_saliency(*parts(model), TEXT, ("burger", "pizza"))
    at = span.words.index("dog")
    row = model.tokenizer.id("dog")
    step = np.zeros(5)
    step[2] = 1e-2
    scores = []
    for sign in (1, -1):
        moved = make_model("lstm-peephole", layers=2)
        moved.model.weights["embedding.weight"][row] += sign * step
        scores.append(measure_saliency(*parts(moved), TEXT, ("burger", "pizza")).score)
    slope = (scores[0] - scores[1]) / 2e-2
    assert slope == pytest.approx(span.gradient[at, 2], rel=1e-2)


def test_what_a_span_tells(make_model):
    model = make_model("rnn")
    span = measure_saliency(*parts(model), TEXT)
    best = model.next_words(TEXT, k=1)[0]
    assert span.words == ["⏎", *TEXT.split()]
    assert span.distance.tolist() == list(range(len(span.words), 0, -1))
    assert span.score <= 0
    assert span.compared[0] in model.tokenizer.tokens()
    if span.compared[0] == best.word:
        assert np.exp(span.score) == pytest.approx(best.probability, rel=1e-3)
    np.testing.assert_allclose(span.reach, np.sqrt((span.gradient**2).sum(1)))
    assert span.change is None
    pair = measure_saliency(*parts(model), TEXT, ("burger", "pizza"))
    logits = model.trace(TEXT).logits[-1]
    burger, pizza = (model.tokenizer.id(word) for word in ("burger", "pizza"))
    assert pair.score == pytest.approx(logits[burger] - logits[pizza], abs=1e-5)
    alone = measure_saliency(*parts(model), TEXT, "burger")
    assert np.exp(alone.score) == pytest.approx(softmax(logits)[burger], rel=1e-4)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_shut_gate_ends_the_span(make_model, cell):
    """Nothing reaches past a word at which the state is made without the one before."""
    model = make_model(cell)
    H = model.config.hidden_size
    layer = model.model.layers[0]
    layer.weight_hh[:] = 0
    if cell == "lstm":  # the forget gate all but shut
        layer.bias_ih[H : 2 * H] = -200
    if cell == "gru":
        layer.bias_ih[H : 2 * H] = -200
    reach = measure_saliency(*parts(model), TEXT).reach
    assert reach[-1] > 1e-3
    assert reach[:-1].max() < 1e-12


@pytest.mark.parametrize("cell", list(CELLS))
def test_replacing_is_reading_again(make_model, cell, monkeypatch):
    monkeypatch.setattr(module, "COLUMNS", 12)
    monkeypatch.setattr(module, "BLOCK", 4)
    model = make_model(cell, layers=2)
    ids = np.array([1, *model.tokenizer.encode(TEXT)])

    class Fixed:
        """Draws that the test can repeat."""

        def __init__(self):
            self.drawn = None

        def integers(self, most, size):
            self.drawn = np.random.default_rng(3).integers(most, size=size)
            return self.drawn

    rng = Fixed()
    changes = replacement_changes(*parts(model), ids, 3, rng)
    words = np.flatnonzero(word_index(model.tokenizer).mask)

    def after(read):
        hidden, _ = model.model.read(read[:, None], model.model.initial_state())[:2]
        return softmax(model.model.logits(hidden[-1, 0]).astype(np.float64))

    p = after(ids)
    for at in range(len(ids)):
        kls = []
        for number in rng.drawn[at]:
            other = ids.copy()
            other[at] = words[number] if words[number] != ids[at] else words[-1]
            assert other[at] != ids[at]
            q = after(other)
            kls.append((p * np.log(p / q)).sum())
        assert changes[at] == pytest.approx(np.mean(kls), rel=1e-3, abs=1e-6)


def test_replacements_of_a_text_come_from_its_seed(make_model):
    model = make_model("gru")
    a, b = (measure_saliency(*parts(model), TEXT, replacements=5, seed=1).change for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert a.shape == (1 + len(TEXT.split()),)
    assert (a >= 0).all()
    assert a[-1] > 0
    characters = make_model("lstm", kind="chars")
    assert measure_saliency(*parts(characters), "cat", replacements=2).change.shape == (4,)


def test_what_can_not_be_asked(make_model):
    model = make_model()
    with pytest.raises(LensError, match="'burgre' is not a word of the vocabulary"):
        measure_saliency(*parts(model), TEXT, "burgre")
    with model.clamp(Clamp("forget", 1.0)) as held:
        with pytest.raises(LensError, match="has no gradient"):
            measure_saliency(*parts(held), TEXT, "burger")
        read_logits(held, [3])
    adaptive = make_model(cutoffs=(8,), tail_sizes=(4,))
    with pytest.raises(LensError, match="adaptive softmax"):
        measure_saliency(*parts(adaptive), TEXT, "burger")
    lone = make_model(text="word")
    with pytest.raises(LensError, match="one word"):
        measure_saliency(*parts(lone), "word", replacements=1)
