"""The loss on a text: the mean over contiguous streams, whatever the length of the batches."""

import signal

import numpy as np
import pytest
import torch

from carousel.storage.config import Config
from carousel.training.nn.network import Network
from carousel.training.run.interrupts import StopRequest, StopRequestedError
from carousel.training.run.validation import measure_loss

CPU = torch.device("cpu")
V = 7
NOISE = np.random.default_rng(0).integers(2, V, 300).astype(np.uint16)


def make_network():
    torch.manual_seed(3)
    sizes = {"cell": "gru", "embedding_size": 4, "hidden_size": 8, "layers": 1}
    return Network(Config(vocab_size=V, tied=False, **sizes))


def test_the_loss_is_the_mean_over_contiguous_streams():
    network = make_network()
    ids = torch.from_numpy(NOISE[:41].astype(np.int64))[:, None]
    with torch.no_grad():
        expected, _ = network.loss(ids[:-1], ids[1:], network.initial_state(1))
    assert measure_loss(network, NOISE[:41], CPU, bptt=40) == pytest.approx(expected.item())
    # Carried state: short pieces of the same stream give the same.
    state, total = network.initial_state(1), 0.0
    for at in range(0, 40, 8):
        part = ids[at : at + 9]
        with torch.no_grad():
            loss, state = network.loss(part[:-1], part[1:], state)
        total += loss.item() / 5
    assert total == pytest.approx(expected.item(), rel=1e-5)


def test_a_stop_that_is_requested_ends_it_between_two_batches():
    stop = StopRequest()
    measure_loss(make_network(), NOISE, CPU, bptt=10, stop=stop)
    stop.signal_number = signal.SIGINT
    with pytest.raises(StopRequestedError):
        measure_loss(make_network(), NOISE, CPU, bptt=10, stop=stop)
