"""A stack of cells over a sequence, one layer after the other, one word after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from carousel.cells import Array, Cell, Projected, State, Weights, namespace, unedited

EditAt = Callable[[str, int, Array], Array]
"""``edit(point, t, value) -> value``: ``point`` as ``"layers.0.f"``, ``t`` the word's index."""


def initial_state(cell: Cell, layers: int, batch: int, hidden_size: int, like: Array) -> State:
    """The state of a whole stack before the first word: zeros, ``[L, B, H]`` each."""
    one = cell.initial_state(batch, hidden_size, like)
    xp = namespace(like)
    return type(one)(*(xp.stack([part] * layers) for part in one))


def unroll(
    cell: Cell,
    weights: Sequence[Weights],
    x: Array,
    state: State,
    edit: EditAt | None = None,
) -> tuple[Array, State]:
    """Run layers ``0..L-1`` of ``cell`` over ``x [T, B, E]`` from ``state`` (``[L, B, H]`` each).

    Returns the last layer's hidden states ``[T, B, H]`` and the state after the last word.
    ``edit`` is called for every gate and state of every layer and word, ``value [B, H]``, in the
    order of the equations, layer by layer; what it returns is used from there on, in this step
    and, through the state, in all later ones. ``T`` may be 0: nothing happens then.
    """
    xp = namespace(x)
    after: list[State] = []
    for layer, layer_weights in enumerate(weights):
        now: Any = type(state)(*(part[layer, ...] for part in state))
        # W x of all words at once: one large product instead of T small ones.
        xs = cell.project_x(layer_weights, x)
        outputs = []
        for t in range(x.shape[0]):
            pre = Projected(xs[t, ...], cell.project_h(layer_weights, now.h))
            now = cell.update(layer_weights, pre, now, _at(edit, layer, t))
            outputs.append(now.h)
        x = xp.stack(outputs) if outputs else xp.zeros((0, *now.h.shape), dtype=now.h.dtype)
        after.append(now)
    return x, type(state)(*(xp.stack(list(parts)) for parts in zip(*after, strict=True)))


def _at(edit: EditAt | None, layer: int, t: int) -> Callable[[str, Array], Array]:
    if edit is None:
        return unedited
    return lambda name, value: edit(f"layers.{layer}.{name}", t, value)
