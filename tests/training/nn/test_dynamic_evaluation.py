"""Dynamic evaluation, against the paper's rule by PyTorch's own functions."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from carousel.cells import CELLS
from carousel.errors import LensError, PredictionError
from carousel.inference.state import LearnedWeights, take_sequences
from carousel.softmax import log_softmax
from carousel.storage.adaptation import DynamicParameters
from carousel.training.nn.dynamic_evaluation import DynamicBackend, measure_gradients


def learning(model, gradients=None, **parameters):
    backend = DynamicBackend(model.config, model.stored, DynamicParameters(**parameters), gradients)
    return model.with_backend(backend)


def random_ids(model, T, B=1, seed=0):
    return np.random.default_rng(seed).integers(0, model.config.vocab_size, (T, B))


def read_by_hand(model, ids, gradients, eta, decay, epsilon, window):
    """Log-probabilities after each of ``ids [T]``: nn.LSTM, cross_entropy and the paper's rule."""
    w = {name: torch.tensor(weight, requires_grad=True) for name, weight in model.weights.items()}
    trained = {name: weight.detach().clone() for name, weight in w.items()}
    lstm = torch.nn.LSTM(model.config.embedding_size, model.config.hidden_size)
    names = {f"layers.0.{n.removesuffix('_l0')}": n for n, _ in lstm.named_parameters()}
    mean = sum(g.sum() for g in gradients.values()) / sum(g.size for g in gradients.values())
    state = tuple(torch.zeros(1, 1, model.config.hidden_size) for _ in "hc")
    rows = []
    for first in range(0, len(ids), window):
        part = torch.tensor(ids[first : first + window])
        targets = torch.tensor(ids[first + 1 : first + window + 1])
        layer = {names[name]: weight for name, weight in w.items() if name in names}
        x = F.embedding(part, w["embedding.weight"])[:, None]
        y, after = torch.func.functional_call(lstm, layer, (x, state))
        logits = F.linear(y[:, 0], w["decoder.weight"], w["decoder.bias"])
        rows.append(torch.log_softmax(logits, 1).detach())
        state = tuple(part.detach() for part in after)
        if len(targets) == window:
            slopes = torch.autograd.grad(F.cross_entropy(logits, targets), list(w.values()))
            for (name, weight), slope in zip(list(w.items()), slopes, strict=True):
                rms = torch.tensor(gradients[name])
                back = (decay * rms / mean).clamp(max=1) * (trained[name] - weight)
                step = weight - eta * slope / (rms + epsilon) + back
                w[name] = step.detach().requires_grad_()
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("window", [1, 4])
def test_equals_the_papers_rule(make_model, window):
    model = make_model(scale=0.5).model
    rng = np.random.default_rng(3)
    gradients = {
        name: rng.uniform(0.01, 0.5, weight.shape).astype(np.float32)
        for name, weight in model.weights.items()
    }
    ids = random_ids(model, 23)[:, 0]
    adapted = learning(model, gradients, learning_rate=0.02, decay=0.1, epsilon=0.01, window=window)
    found = adapted.read(ids[:, None], adapted.initial_state()).hidden[:, 0]
    expected = read_by_hand(model, ids, gradients, 0.02, 0.1, 0.01, window)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    plain = log_softmax(model.logits(model.read(ids[:, None], model.initial_state()).hidden[:, 0]))
    assert np.abs(found - plain).max() > 0.05


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("sizes", [{}, {"tied": True}, {"cutoffs": (5, 12), "tail_sizes": (3, 2)}])
def test_with_rate_0_it_is_the_model(make_model, cell, sizes):
    model = make_model(cell=cell, layers=2, **sizes).model
    adapted = learning(model, learning_rate=0.0, window=3)
    ids = random_ids(model, 20)
    found = adapted.read(ids, adapted.initial_state())
    plain = model.read(ids, model.initial_state())
    expected = log_softmax(model.logits(plain.hidden))
    np.testing.assert_allclose(adapted.logits(found.hidden), expected, atol=1e-4)
    for ours, theirs in zip(found.state.inner, plain.state, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("sizes", [{}, {"tied": True, "cutoffs": (5, 12), "tail_sizes": (5, 5)}])
def test_word_by_word_is_one_reading(make_model, sizes):
    model = learning(make_model(**sizes).model, learning_rate=0.3, window=4)
    ids = random_ids(model, 30)
    whole = model.read(ids, model.initial_state())
    state, hidden = model.initial_state(), []
    for first in range(30):
        reading = model.read(ids[first : first + 1], state)
        state = reading.state
        hidden.append(reading.hidden)
    np.testing.assert_allclose(np.concatenate(hidden), whole.hidden, atol=1e-4)
    np.testing.assert_array_equal(state.window, whole.state.window)


def test_a_text_read_twice_is_likelier_and_the_model_is_as_before(make_model):
    model = make_model().model
    before = {name: weight.copy() for name, weight in model.weights.items()}
    adapted = learning(model, learning_rate=0.3, window=5)
    ids = np.tile(random_ids(model, 25), (6, 1))
    hidden = adapted.read(ids, adapted.initial_state()).hidden[:-1, 0]
    nats = -adapted.log_probs(hidden, ids[1:, 0])
    assert nats[-25:].mean() < 0.9 * nats[:25].mean()
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(weight, before[name])
    np.testing.assert_array_equal(
        adapted.initial_state().learned.arrays["decoder.bias"], before["decoder.bias"]
    )


def test_beams_share_what_was_learned_and_learn_nothing(make_model):
    model = learning(make_model().model, learning_rate=0.5, window=2)
    state = model.read(random_ids(model, 9), model.initial_state()).state
    beams = take_sequences(state, [0, 0, 0])
    assert beams.learned is state.learned
    after = model.read(random_ids(model, 6, 3), beams).state
    assert after.learned is state.learned
    assert after.window.shape == (2, 3)


def test_gradients_are_those_of_plain_pytorch(make_model):
    model = make_model().model
    ids = random_ids(model, 21)[:, 0]
    _, rms = measure_gradients(model.config, model.stored, ids)
    w = {name: torch.tensor(weight, requires_grad=True) for name, weight in model.weights.items()}
    lstm = torch.nn.LSTM(model.config.embedding_size, model.config.hidden_size)
    layer = {n: w[f"layers.0.{n.removesuffix('_l0')}"] for n, _ in lstm.named_parameters()}
    x = F.embedding(torch.tensor(ids[:20]), w["embedding.weight"])[:, None]
    y = torch.func.functional_call(lstm, layer, (x,))[0][:, 0]
    loss = F.cross_entropy(
        F.linear(y, w["decoder.weight"], w["decoder.bias"]), torch.tensor(ids[1:])
    )
    for (name, _), slope in zip(
        w.items(), torch.autograd.grad(loss, list(w.values())), strict=True
    ):
        np.testing.assert_allclose(rms[name], slope.abs().numpy(), atol=1e-6)


def test_what_it_can_not_do_is_said(make_model):
    model = make_model().model
    adapted = learning(model, window=3)
    ids = random_ids(model, 40)
    state = adapted.initial_state()
    grown = {**state.learned.arrays, "decoder.bias": np.full(model.config.vocab_size, np.inf, "f")}
    with pytest.raises(PredictionError, match="lower learning_rate"), np.errstate(invalid="ignore"):
        adapted.read(ids, state._replace(learned=LearnedWeights(grown)))
    with pytest.raises(LensError, match="leave adapt out"):
        adapted.read(ids, adapted.initial_state(), ["layers.0.f"])
    with pytest.raises(TypeError, match="does not learn"):
        adapted.read(ids, model.initial_state())
