"""The loss of a network on a text that it does not train on."""

from __future__ import annotations

import numpy as np
import torch

from carousel.training.data.batches import on_device
from carousel.training.data.streams import Streams
from carousel.training.nn.network import Network
from carousel.training.run.distributed import Alone, Group
from carousel.training.run.interrupts import Stop

VALIDATION_BATCH = 32


@torch.no_grad()
def measure_loss(
    network: Network,
    ids: np.ndarray,
    device: torch.device,
    *,
    bptt: int = 64,
    stop: Stop | None = None,
    group: Group | None = None,
) -> float:
    """Mean loss in nats per token over ``ids [N]``, in contiguous streams from a zero state.

    The processes of a ``group`` read a part each, and nobody stops before all have read theirs.
    """
    group = group or Alone()
    network.eval()
    batch = max(1, min(VALIDATION_BATCH, (len(ids) - 1) // bptt))
    streams = Streams(ids, batch, group.share(batch))
    state = network.initial_state(streams.width)
    total = torch.zeros((), device=device)
    for x, y in on_device(streams.pieces(bptt), device) if streams.width else ():
        with autocast(network, device):
            loss, state = network.loss(x, y, state)
        total += loss * y.numel()
        if stop is not None and group.size == 1:
            stop.look()
    network.train()
    return group.total(total).item() / (streams.length * batch)


class autocast:  # noqa: N801 -- used as torch.autocast is
    """bfloat16 products where the network asks for them (``network.precision``)."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.context = torch.autocast(
            device.type, torch.bfloat16, enabled=network.precision == "bfloat16"
        )

    def __enter__(self) -> None:
        self.context.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *args: object) -> None:
        self.context.__exit__(*args)
