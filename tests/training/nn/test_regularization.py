"""Each regularizer against its paper's formula, and that none acts outside of training."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.storage.config import Config
from carousel.training.nn.activation_regularization import activation_penalty
from carousel.training.nn.architecture import make_regularization
from carousel.training.nn.embedding_dropout import EmbeddingDropout
from carousel.training.nn.locked_dropout import LockedDropout
from carousel.training.nn.network import FUSED, FusedLayer, Network, ReferenceLayer
from carousel.training.nn.regularization import Regularization
from carousel.training.nn.weight_drop import WeightDrop
from carousel.training.settings import Settings

V = 9


def make_network(regularization=None, cell="lstm", **sizes):
    sizes = {"embedding_size": 5, "hidden_size": 6, "layers": 2, "tied": False} | sizes
    torch.manual_seed(1)
    return Network(Config(cell, V, **sizes), regularization)


def make_batch(T=7, B=3):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, V, (2, T, B), generator=generator)


def test_locked_dropout_drops_the_same_units_at_every_word():
    torch.manual_seed(0)
    y = LockedDropout(0.4)(torch.ones(5, 200, 50))
    assert torch.equal(y, y[:1].expand_as(y))
    values, counts = y[0].unique(return_counts=True)
    assert values.tolist() == pytest.approx([0, 1 / 0.6], rel=1e-4)
    assert counts[0].item() / 10_000 == pytest.approx(0.4, abs=0.02)


def test_embedding_dropout_drops_words_everywhere_or_nowhere():
    torch.manual_seed(0)
    ids = torch.arange(1000).repeat(3, 1)
    y = EmbeddingDropout(1000, 0.3)(torch.ones(3, 1000, 4), ids)
    assert torch.equal(y, y[:1, :, :1].expand_as(y))
    values, counts = y[0, :, 0].unique(return_counts=True)
    assert values.tolist() == pytest.approx([0, 1 / 0.7])
    assert counts[0].item() / 1000 == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("cell", FUSED)
def test_weight_drop_of_a_fused_layer_is_that_of_the_equations(cell):
    fused, reference = FusedLayer(cell, 5, 6, 0.5), ReferenceLayer(cell, 5, 6, 0.5)
    with torch.no_grad():
        for name, weight in reference.named_parameters():
            weight.copy_(getattr(fused.fused, f"{name}_l0"))
    x = torch.randn(7, 3, 5)
    state = make_network(cell=cell, layers=1).initial_state(3)
    outputs = []
    for layer in (fused, reference):
        torch.manual_seed(4)
        y, after = layer(x, state)
        y.square().sum().backward()
        outputs.append((y, *after))
    for ours, theirs in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    torch.manual_seed(4)
    dropped = WeightDrop(0.5)(fused.fused.weight_hh_l0) == 0
    assert 0.3 < dropped.float().mean() < 0.7
    for layer, weight in ((fused, fused.fused.weight_hh_l0), (reference, reference.weight_hh)):
        assert (weight.grad[dropped] == 0).all(), layer
        assert (weight.grad[~dropped] != 0).any()


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_dropped_outside_of_training(cell):
    everything = Regularization(
        0.5, locked_dropout=True, embedding_dropout=0.3, weight_drop=0.5,
        activation_regularization=2.0, temporal_activation_regularization=1.0,
    )  # fmt: skip
    plain, regularized = make_network(cell=cell), make_network(everything, cell)
    x, y = make_batch()
    losses = []
    for network, training in ((plain, False), (regularized, False), (regularized, True)):
        network.train(training)
        torch.manual_seed(0)
        losses.append(network.loss(x, y, network.initial_state(3))[0].item())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("projection_size", [0, 4])
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.0), (0.0, 1.0), (2.0, 1.0)])
def test_penalties_change_the_gradient_and_not_the_loss(alpha, beta, projection_size):
    x, y = make_batch()
    plain = make_network(layers=1, projection_size=projection_size)
    loss, _ = plain.loss(x, y, plain.initial_state(3))
    hidden, _ = plain(x, plain.initial_state(3))
    differences = hidden[1:] - hidden[:-1]
    (loss + alpha * (hidden**2).mean() + beta * (differences**2).mean()).backward()

    network = make_network(
        Regularization(activation_regularization=alpha, temporal_activation_regularization=beta),
        layers=1,
        projection_size=projection_size,
    )
    regularized, _ = network.loss(x, y, network.initial_state(3))
    regularized.backward()
    assert regularized.item() == pytest.approx(loss.item(), rel=1e-6)
    for ours, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@given(T=st.integers(1, 5), B=st.integers(1, 3), H=st.integers(1, 4))
def test_the_penalty_is_its_formula(T, B, H):
    dropped, hidden = np.random.default_rng(T).normal(size=(2, T, B, H))
    penalty = activation_penalty(torch.tensor(dropped), torch.tensor(hidden), 2.0, 3.0).item()
    expected = 2 * np.mean(dropped**2)
    if T > 1:
        expected += 3 * np.mean(np.diff(hidden, axis=0) ** 2)
    assert math.isclose(penalty, expected, rel_tol=1e-9)


def test_each_place_has_its_own_dropout():
    network = make_network(Regularization(0.1, input_dropout=0.0, output_dropout=0.3), layers=3)
    places = [network.input_dropout.p, network.hidden_dropout.p, network.output_dropout.p]
    assert places == [0.0, 0.1, 0.3]
    assert network(make_batch()[0], network.initial_state(3))[0].shape == (7, 3, 6)


@pytest.mark.parametrize("projection_size", [0, 4])
def test_the_output_dropout_drops_what_the_decoder_reads(projection_size):
    network = make_network(Regularization(output_dropout=0.5), projection_size=projection_size)
    x, _ = make_batch(B=50)
    state = network.initial_state(50)
    read = network(x, state)[0]
    kept = network.eval()(x, state)[0]
    dropped = read == 0
    assert dropped.float().mean().item() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(read[~dropped], 2 * kept[~dropped])


def test_settings_name_every_regularizer():
    settings = Settings(dropout=0.2, hidden_dropout=0.1, weight_drop=0.5, locked_dropout=True)
    made = make_regularization(settings)
    assert made == Regularization(0.2, hidden_dropout=0.1, weight_drop=0.5, locked_dropout=True)
