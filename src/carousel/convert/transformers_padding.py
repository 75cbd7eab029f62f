"""Reading sequences of several lengths side by side: padding does not touch a state."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel.cells import State
from carousel.training.nn.lines import read_lines
from carousel.training.nn.network import FusedLayer, ReferenceLayer


def read_layer(
    layer: FusedLayer | ReferenceLayer,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    line_ends: dict[int, Tensor],
) -> tuple[Tensor, State]:
    """Read sequences with a layer, from line to line where there are line ends.

    Args:
        layer: a recurrent layer.
        x: ``[T, B, E]``.
        state: the state before, ``[1, B, H]`` each.
        lengths: how many vectors of each sequence to read, ``[B]``; None for all.
        line_ends: for each time at which lines end, in which sequences, ``[B]`` of bool: there the
            state is set to zero before the vector is read.

    Returns:
        The outputs ``[T, B, H]``, and the state after the last vector of each sequence.
    """
    if lengths is None:
        return read_lines(layer, x, state, line_ends)
    rest = lengths

    def read_line(x: Tensor, state: State) -> tuple[Tensor, State]:
        nonlocal rest
        read = read_padded(layer, x, state, rest.clamp(max=len(x)))
        rest = (rest - len(x)).clamp(min=0)
        return read

    return read_lines(read_line, x, state, line_ends)


def read_padded(
    layer: FusedLayer | ReferenceLayer, x: Tensor, state: State, lengths: Tensor
) -> tuple[Tensor, State]:
    """Read sequences of several lengths, with padding behind each.

    Args:
        layer: a recurrent layer.
        x: ``[T, B, E]``.
        state: the state before, ``[1, B, H]`` each.
        lengths: how many vectors of each sequence to read, ``[B]``; 0 is allowed.

    Returns:
        The outputs ``[T, B, H]``, and the state after the last vector of each sequence.
    """
    if isinstance(layer, FusedLayer):
        # Of an empty sequence, which can't be packed, one vector is read and then forgotten.
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), enforce_sorted=False)
        y, after = layer.fused(packed, tuple(state) if len(state) == 2 else state[0])
        parts = after if len(state) == 2 else (after,)
        read = (lengths > 0)[:, None]
        after = type(state)(
            *(torch.where(read, new, old) for new, old in zip(parts, state, strict=True))
        )
        return pad_packed_sequence(y, total_length=len(x))[0], after
    outputs = []
    for t in range(len(x)):
        y, after = layer(x[t : t + 1], state)
        read = (t < lengths)[:, None]
        state = type(state)(
            *(torch.where(read, new, old) for new, old in zip(after, state, strict=True))
        )
        outputs.append(y)
    return torch.cat(outputs), state


def take(x: Tensor, order: Tensor) -> Tensor:
    """The vectors of ``x [T, B, E]`` in the order ``[T, B]`` of their times."""
    return x.gather(0, order[:, :, None].expand_as(x))
