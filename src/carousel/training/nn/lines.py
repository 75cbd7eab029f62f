"""Training on lines as texts of their own: the state starts anew at the end of each line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from carousel.cells import State
from carousel.storage.config import LINE_END_ID

Layer = Callable[[Tensor, State], tuple[Tensor, State]]


def find_line_ends(ids: Tensor) -> dict[int, Tensor]:
    """Where the lines of ``ids [T, B]`` end.

    Returns:
        For each ``t`` at which a line ends, which of the sequences do: ``[B]`` of bool.

    >>> find_line_ends(torch.tensor([[5, 1], [5, 5]]))
    {0: tensor([False,  True])}
    """
    ends = ids == LINE_END_ID
    return {t: ends[t] for t in ends.any(1).nonzero()[:, 0].tolist()}


def read_lines(
    layer: Layer, x: Tensor, state: State, line_ends: dict[int, Tensor]
) -> tuple[Tensor, State]:
    """Run a layer over ``x [T, B, E]``; before each end of a line, that sequence's state is zero.

    Args:
        layer: the layer, of any cell.
        x: its inputs.
        state: ``[1, B, H]`` each.
        line_ends: what ``find_line_ends`` gives.

    Returns:
        The outputs ``[T, B, H]``, and the state afterwards.
    """
    if not line_ends:
        return layer(x, state)
    outputs = []
    for first, last in pairwise(sorted({0, *line_ends, len(x)})):
        if first in line_ends:
            ended = line_ends[first][:, None]
            state = type(state)(*(part.masked_fill(ended, 0) for part in state))
        output, state = layer(x[first:last], state)
        outputs.append(output)
    return torch.cat(outputs), state
