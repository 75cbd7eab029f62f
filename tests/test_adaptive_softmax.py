"""The adaptive softmax is PyTorch's: the same weights give the same log-probabilities."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.adaptive_softmax import clusters, decoder_shapes, log_probs
from carousel.errors import FolderError
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import cast_weights, to_float32
from carousel.text.vocabulary import train_tokenizer

WORDS = "".join(f"w{number:02} " * (40 - number) for number in range(38))


def theirs(width, vocab_size, cutoffs, div_value=2.0, seed=0):
    torch.manual_seed(seed)
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(
        width, vocab_size, list(cutoffs), div_value=div_value, head_bias=True
    )
    torch.nn.init.normal_(layer.head.bias)
    for weight in layer.parameters():
        weight.data *= 3
    return layer


def export(layer):
    """A layer's weights by the names on disk."""
    return {f"decoder.{name}": weight.numpy() for name, weight in layer.state_dict().items()}


def sizes_of(layer):
    return tuple(tail[0].out_features for tail in layer.tail)


@settings(max_examples=30, deadline=None)
@given(
    width=st.integers(4, 16),
    vocab_size=st.integers(5, 40),
    cut=st.sets(st.integers(1, 39), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_log_probabilities_equal_pytorch(width, vocab_size, cut, seed):
    cutoffs = sorted(c for c in cut if c < vocab_size) or [1]
    layer = theirs(width, vocab_size, cutoffs, div_value=1.3, seed=seed)
    shapes = decoder_shapes(width, vocab_size, cutoffs, sizes_of(layer))
    weights = export(layer)
    assert {name: weight.shape for name, weight in weights.items()} == shapes
    x = torch.randn(2, 3, width)
    with torch.no_grad():
        expected = layer.log_prob(x.flatten(0, 1)).unflatten(0, (2, 3)).numpy()
    found = log_probs(x.numpy(), weights, vocab_size, cutoffs)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1, rtol=1e-5)


def test_clusters_share_out_all_ids():
    assert clusters(10, (3, 7)) == [range(3, 7), range(7, 10)]


@pytest.fixture
def adaptive_model(make_model):
    """A random model with a head of 8 words and clusters of 12 and the rest."""
    tokenizer = train_tokenizer("whitespace", [WORDS])
    config = Config(
        "lstm", tokenizer.vocab_size, 5, 6, 2, False, cutoffs=(8, 20), tail_sizes=(3, 1)
    )
    rng = np.random.default_rng(3)
    weights = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    return LanguageModel.from_weights(config, weights, tokenizer)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("engine", [True, False])
def test_a_tied_decoder_is_the_embedding_in_parts(make_model, tmp_path, dtype, engine):
    sizes = {"embedding_size": 6, "cutoffs": (8, 20), "tail_sizes": (6, 6)}
    made = make_model(kind="whitespace", text=WORDS, tied=True, **sizes)
    config = replace(made.config, dtype=dtype)
    stored = cast_weights({n: made.model.weights[n] for n in config.weight_shapes()}, dtype)
    write_folder(tmp_path / "m", config, stored, made.tokenizer)
    model = LanguageModel.load(tmp_path / "m", backend="engine" if engine else "numpy")
    weights = {name: to_float32(weight) for name, weight in stored.items()}
    table, bias = weights["embedding.weight"], weights["decoder.head.bias"]
    hidden = model.model.read(np.array([[2], [5]]), model.model.initial_state()).hidden
    x = torch.from_numpy(hidden[:, 0])
    rows = np.concatenate([table[:8], weights["decoder.clusters.weight"]])
    head = torch.log_softmax(x @ torch.from_numpy(rows.T) + torch.from_numpy(bias), 1)
    parts = [head[:, :8]]
    for n, (low, high) in enumerate(((8, 20), (20, config.vocab_size))):
        small = x @ torch.from_numpy(weights[f"decoder.tail.{n}.0.weight"].T)
        tail = torch.log_softmax(small @ torch.from_numpy(table[low:high].T), 1)
        parts.append(tail + head[:, 8 + n, None])
    # In int8 the engine rounds what the decoder reads, too.
    near = 0.15 if dtype == "int8" and engine else 1e-5
    np.testing.assert_allclose(
        model.model.logits(hidden)[:, 0], torch.cat(parts, 1), rtol=0, atol=near
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_a_model_on_disk_predicts_as_pytorch_does(adaptive_model, tmp_path, dtype):
    config = replace(adaptive_model.config, dtype=dtype)
    write_folder(
        tmp_path / "m",
        config,
        cast_weights(adaptive_model.model.weights, dtype),
        adaptive_model.tokenizer,
    )
    model = LanguageModel.load(tmp_path / "m", backend="numpy")
    assert model.config == config
    hidden = model.model.read(np.array([[2], [5]]), model.model.initial_state()).hidden
    layer = torch.nn.AdaptiveLogSoftmaxWithLoss(
        6, config.vocab_size, [8, 20], div_value=1.0, head_bias=True
    )
    for number, size in enumerate(config.tail_sizes):
        layer.tail[number][0] = torch.nn.Linear(6, size, bias=False)
        layer.tail[number][1] = torch.nn.Linear(
            size, (12, config.vocab_size - 20)[number], bias=False
        )
    names = layer.state_dict().keys()
    layer.load_state_dict({n: torch.tensor(model.model.weights[f"decoder.{n}"]) for n in names})
    with torch.no_grad():
        expected = layer.log_prob(torch.from_numpy(hidden[:, 0])).numpy()
    np.testing.assert_allclose(model.model.logits(hidden)[:, 0], expected, rtol=1e-5, atol=1e-5)
    assert len(model.next_words("w00", k=3)) == 3
    assert model.generate("w00", max_tokens=3, seed=0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cutoffs": (8, 8), "tail_sizes": (1, 1)}, "cutoffs must rise"),
        ({"cutoffs": (0,), "tail_sizes": (1,)}, "cutoffs must rise"),
        ({"cutoffs": (40,), "tail_sizes": (1,)}, "cutoffs must rise"),
        ({"cutoffs": (3,) * 65, "tail_sizes": (1,) * 65}, "cutoffs must rise"),
        ({"cutoffs": (8,)}, "tail_sizes must be"),
        ({"tail_sizes": (8,)}, "tail_sizes must be"),
        ({"cutoffs": (8,), "tail_sizes": (0,)}, "tail_sizes must be"),
        ({"cutoffs": (True,), "tail_sizes": (1,)}, "whole numbers"),
        ({"cutoffs": [8], "tail_sizes": (1,)}, "cutoffs must be tuple"),
        ({"cutoffs": (8,), "tail_sizes": (1,), "tied": True}, "embedding_size 5 wide"),
        ({"dtype": "int4"}, "dtype must be one of float32, bfloat16, int8"),
    ],
)
def test_configurations_that_can_not_be(fields, said):
    with pytest.raises(FolderError, match=said):
        Config(**({"cell": "lstm", "vocab_size": 40, "embedding_size": 5, "hidden_size": 5,
                   "layers": 1, "tied": False} | fields))  # fmt: skip
