"""The network that trains computes what the model folder's reader computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from carousel.cells import CELLS
from carousel.inference.model import RecurrentLM
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import cast_weights
from carousel.text.vocabulary import train_tokenizer
from carousel.training.nn.cutoffs import choose_tail_sizes
from carousel.training.nn.network import Network

TEXT = ["the cat sat on the mat and the dog ran\n"]


def make_network(cell, *, fused=True, tied=True, layers=2, projection=4, cutoffs=()):
    tokenizer = train_tokenizer("words", TEXT)
    config = Config(
        cell=cell,
        vocab_size=tokenizer.vocab_size,
        embedding_size=4,
        hidden_size=6,
        layers=layers,
        tied=tied,
        projection_size=projection,
        cutoffs=cutoffs,
        tail_sizes=choose_tail_sizes(projection or 6, len(cutoffs), tied=tied),
    )
    torch.manual_seed(1)
    return Network(config, fused=fused), tokenizer


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("cutoffs", [(), (4, 7)])
def test_the_exported_model_gives_the_same_loss(cell, tied, cutoffs):
    network, tokenizer = make_network(cell, tied=tied, projection=4 if tied else 0, cutoffs=cutoffs)
    assert {n: w.shape for n, w in network.export().items()} == network.config.weight_shapes()
    ids = torch.tensor(tokenizer.encode(TEXT[0]))[:, None]
    with torch.no_grad():
        loss, state = network.loss(ids[:-1], ids[1:], network.initial_state(1))
    model = RecurrentLM(network.config, network.export())
    reading = model.read(ids[:-1].numpy(), model.initial_state(1))
    logits = torch.from_numpy(model.logits(reading.hidden[:, 0]))
    expected = torch.nn.functional.cross_entropy(logits, ids[1:, 0])
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(reading.state, state, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def log_probs_of(network, ids):
    """The log-probabilities of all words after each of ``ids [T]``, by the network's own loss."""
    network.eval()
    with torch.no_grad():
        hidden, _ = network(ids[:, None], network.initial_state(1))
        words = torch.arange(network.config.vocab_size)
        rows = [
            [-network.decoder.loss(vector, word[None]).item() for word in words]
            for vector in hidden
        ]
    return torch.tensor(rows)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("tied", "projection", "cutoffs"),
    [(True, 4, ()), (True, 4, (4, 7)), (False, 0, ()), (False, 3, (4, 7))],
    ids=["tied", "tied adaptive", "untied", "projected adaptive"],
)
def test_a_model_folder_becomes_a_network_again(tmp_path, cell, dtype, tied, projection, cutoffs):
    """Its logits are those of the model, and it goes on learning."""
    trained, tokenizer = make_network(cell, tied=tied, projection=projection, cutoffs=cutoffs)
    config = replace(trained.config, dtype=dtype)
    write_folder(tmp_path / "m", config, cast_weights(trained.export(), dtype), tokenizer)
    folder = read_folder(tmp_path / "m")
    model = RecurrentLM(folder.config, folder.weights)
    network = Network.from_folder(tmp_path / "m")
    assert network.config == trained.config
    for name, weight in network.export().items():
        np.testing.assert_array_equal(weight, model.weights[name], err_msg=name)
    ids = torch.tensor(tokenizer.encode(TEXT[0]))
    reference = RecurrentLM(folder.config, folder.weights, backend="numpy")
    hidden = reference.read(ids[:, None].numpy(), reference.initial_state(1)).hidden
    expected = torch.log_softmax(torch.from_numpy(reference.logits(hidden[:, 0])), 1)
    torch.testing.assert_close(log_probs_of(network, ids), expected, rtol=1e-4, atol=1e-5)
    network.train()
    loss, _ = network.loss(ids[:-1, None], ids[1:, None], network.initial_state(1))
    loss.backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_without_biases_gets_some_that_change_nothing(cell):
    trained, tokenizer = make_network(cell, tied=False, projection=0)
    config = replace(trained.config, biases=False)
    weights = {name: trained.export()[name] for name in config.weight_shapes()}
    model = RecurrentLM(config, weights, backend="numpy")
    network = Network.from_model(config, weights)
    ids = torch.tensor(tokenizer.encode(TEXT[0]))
    hidden = model.read(ids[:, None].numpy(), model.initial_state(1)).hidden
    expected = torch.log_softmax(torch.from_numpy(model.logits(hidden[:, 0])), 1)
    torch.testing.assert_close(log_probs_of(network, ids), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_has_a_gradient(cell):
    """DistributedDataParallel waits for all of them."""
    for cutoffs in ((), (4, 7)):
        network, _ = make_network(cell, cutoffs=cutoffs)
        ids = torch.zeros(2, 1, dtype=torch.long)
        network.loss(ids[:1], ids[1:], network.initial_state(1))[0].backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("cutoffs", [(), (4, 7)])
def test_in_bfloat16_the_loss_is_close(cell, cutoffs):
    """Also where a layer hands on float32, as a GRU does under autocast."""
    network, _ = make_network(cell, tied=False, projection=0, cutoffs=cutoffs)
    ids = torch.randint(network.config.vocab_size, (9, 3))
    losses = []
    for network.precision in ("float32", "bfloat16"):
        with network.autocast():
            loss, _ = network.loss(ids[:-1], ids[1:], network.initial_state(3))
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[1], losses[0], rtol=0.02, atol=0.0)


def test_the_embedding_starts_as_wide_as_asked():
    sizes = {"embedding_size": 50, "hidden_size": 8, "layers": 1, "projection_size": 50}
    config = Config(cell="lstm", vocab_size=3000, tied=True, **sizes)
    weights = []
    for std in (1.0, 0.058):
        torch.manual_seed(3)
        network = Network(config, embedding_std=std)
        weights.append(network.export())
    wide, narrow = (one.pop("embedding.weight") for one in weights)
    np.testing.assert_allclose(narrow, 0.058 * wide, rtol=1e-6)
    assert abs(narrow.std() - 0.058) < 0.001
    # The rest starts as it did: the same random numbers come to it.
    for name, weight in weights[0].items():
        np.testing.assert_array_equal(weight, weights[1][name])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_fused_and_reference_layers_give_the_same_gradients(cell):
    fused, _ = make_network(cell)
    plain, _ = make_network(cell, fused=False)
    names = list(fused.named_weights())
    assert list(plain.named_weights()) == names
    with torch.no_grad():
        for name, weight in plain.named_weights().items():
            weight.copy_(fused.named_weights()[name])
    ids = torch.randint(fused.config.vocab_size, (9, 3))
    grads = []
    for network in (fused, plain):
        loss, _ = network.loss(ids[:-1], ids[1:], network.initial_state(3))
        grads.append(torch.autograd.grad(loss, list(network.named_weights().values())))
    for name, a, b in zip(names, *grads, strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}")


def test_the_forget_gate_starts_open():
    network, _ = make_network("lstm")
    for layer in range(2):
        weights = network.export()
        both = weights[f"layers.{layer}.bias_ih"] + weights[f"layers.{layer}.bias_hh"]
        np.testing.assert_array_equal(both[6:12], 1.0)
        assert np.abs(both[:6]).max() < 1


def test_dropout_is_for_training_only():
    network, _ = make_network("gru")
    network.output_dropout.p = 0.5
    ids = torch.randint(network.config.vocab_size, (9, 3))

    def loss():
        with torch.no_grad():
            return network.loss(ids[:-1], ids[1:], network.initial_state(3))[0].item()

    assert loss() != loss()
    network.eval()
    assert loss() == loss()
