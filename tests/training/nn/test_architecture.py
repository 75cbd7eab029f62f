"""The shape of a model: which softmax, and what tied embeddings need."""

import numpy as np
import pytest
import torch

from carousel.training.nn import architecture
from carousel.training.nn.architecture import falls_back_to_full, make_config, needs_projection
from carousel.training.settings import Settings


def test_the_softmax_follows_vocabulary_and_device():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    large = architecture.ADAPTIVE_MIN_VOCAB
    chosen = [architecture.choose_softmax("auto", size, cpu) for size in (large - 1, large)]
    assert chosen == ["full", "adaptive"]
    assert architecture.choose_softmax("auto", large, gpu) == "full"
    assert architecture.choose_softmax("sampled", 10, gpu) == "sampled"


@pytest.mark.parametrize(
    ("settings", "projection_size"),
    [
        ({}, 0),
        ({"embedding_size": 100}, 100),
        ({"embedding_size": 100, "tie_embeddings": False}, 0),
        ({"embedding_size": 100, "tie_embeddings": False, "projection_size": 7}, 7),
        ({"projection_size": 200}, 200),
    ],
    ids=str,
)
def test_tied_embeddings_of_another_size_get_a_projection(settings, projection_size):
    settings = Settings(**settings)
    assert make_config(settings, 50, None).projection_size == projection_size
    assert needs_projection(settings) == (projection_size == 100)


def test_a_small_vocabulary_has_a_full_softmax():
    few, many = np.ones(100), 1e9 / np.arange(1, 30_000)
    settings = Settings()
    assert falls_back_to_full("adaptive", make_config(settings, len(few), few))
    assert not falls_back_to_full("adaptive", make_config(settings, len(many), many))
    assert falls_back_to_full("sampled", make_config(settings, 2048, None))
    assert not falls_back_to_full("sampled", make_config(settings, 2049, None))
    assert not falls_back_to_full("full", make_config(settings, 100, None))
