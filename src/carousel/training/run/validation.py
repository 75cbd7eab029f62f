"""The loss of a network on a text that it does not train on."""

from __future__ import annotations

import numpy as np
import torch

from carousel.training.data.batches import to_device
from carousel.training.data.streams import Streams
from carousel.training.nn.network import Network
from carousel.training.run.distributed import Processes, SingleProcess
from carousel.training.run.interrupts import StopRequest

VALIDATION_BATCH_SIZE = 32


@torch.no_grad()
def measure_loss(
    network: Network,
    ids: np.ndarray,
    device: torch.device,
    *,
    bptt: int = 64,
    stop: StopRequest | None = None,
    group: Processes | None = None,
) -> float:
    """The mean loss of a network on a text, read in contiguous streams from a zero state.

    Args:
        network: the network, which is in training mode afterwards.
        ids: the text, ``[N]``.
        device: where the network is.
        bptt: number of words read at a time.
        stop: checked between batches. Several processes don't: all of them read to the end.
        group: the processes of the run; each reads a part of the streams.

    Returns:
        Nats per token.

    Raises:
        StopRequestedError: a stop was requested.
    """
    group = group or SingleProcess()
    network.eval()
    batch_size = max(1, min(VALIDATION_BATCH_SIZE, (len(ids) - 1) // bptt))
    streams = Streams(ids, batch_size, group.shard(batch_size))
    state = network.initial_state(streams.shard_size)
    total = torch.zeros((), device=device)
    for x, y in to_device(streams.batches(bptt), device) if streams.shard_size else ():
        with network.autocast():
            loss, state = network.loss(x, y, state)
        total += loss * y.numel()
        if stop is not None and group.world_size == 1:
            stop.raise_if_requested()
    network.train()
    return group.all_reduce(total).item() / (streams.length * batch_size)
