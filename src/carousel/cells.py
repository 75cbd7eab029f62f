"""The recurrent cells: RNN, GRU and LSTM, each one word at a time, in the equations' own order.

One step of a cell is split in two:

``project``
    All that is linear: ``W x + b_ih`` and ``R h + b_hh`` for every gate, kept apart (the GRU's
    reset gate comes between the two).
``update``
    All that is pointwise. It makes each gate from its pre-activation, in the order in which the
    equations need them, and right after each calls ``edit(name, value) -> value``: the one door
    through which a gate is watched or held, so that whatever depends on it follows.

The lines are written against the Array API standard: they run on NumPy arrays and on PyTorch
tensors (with gradients) alike. This file is the definition; whatever is faster (fused layers,
kernels) is an accelerated equal of it and is tested against it.

Shapes: ``B`` batch, ``E`` the width of the input, ``H`` hidden units, ``G`` the number of gates
that have weights. Gate order in the stacked weights is PyTorch's: LSTM ``i, f, g, o``; GRU
``r, z, n``; with coupled gates ``i, g, o``.

What else is to be known of a cell stands on it:

``stacked``
    The gates that have weights, in the order in which these are stacked.
``gates`` and ``states``
    The short names of what ``update`` makes, and of what goes on to the next word.
``names``
    Short name to long name of all of them, as they are shown.
``sigmoid_gates``
    The gates whose values lie between 0 and 1.
``memory``
    The state that carries what was read: ``c``, or ``h`` where there is no cell state.
``keep_gate``
    The gate whose value is the share of the memory that stays: ``f``, ``z``, or None.
``has_belt``
    Whether the memory is a sum of what each word has put on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

Array = Any
"""A NumPy array or a PyTorch tensor."""

Edit = Callable[[str, Array], Array]
"""``edit(name, value) -> value``: sees a gate or state by its short name, returns what to use."""


class Weights(NamedTuple):
    """One layer's weights, ``[G*H, ...]`` with the gates stacked in the cell's ``stacked`` order.

    ``weight_ih [G*H, E]``, ``weight_hh [G*H, H]``, ``bias_ih [G*H]`` and ``bias_hh [G*H]`` (or
    None), and for peepholes ``weight_ch``: ``[3H]`` in the order ``i, f, o`` (coupled: ``[2H]``,
    ``i, o``), each a diagonal.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    weight_ch: Array | None = None


class Projected(NamedTuple):
    """The linear half of a step: ``x = W x + b_ih [B, G*H]`` and ``h = R h + b_hh [B, G*H]``."""

    x: Array
    h: Array


class HiddenState(NamedTuple):
    """The state of an RNN or a GRU: ``h [B, H]`` (``[L, B, H]`` for a stack of layers)."""

    h: Array


class LSTMState(NamedTuple):
    """The state of an LSTM: hidden state ``h`` and cell state ``c``, the belt; ``[B, H]`` each."""

    h: Array
    c: Array


State = HiddenState | LSTMState


def namespace(x: Array) -> Any:
    """The Array API's functions for arrays like ``x``.

    NumPy has them itself; for PyTorch ``array_api_compat`` does, which takes as long to load as
    NumPy and so is not loaded without need.
    """
    if isinstance(x, np.ndarray):
        return np
    from array_api_compat import array_namespace

    return array_namespace(x)


def unedited(name: str, value: Array) -> Array:
    """The edit that changes nothing."""
    return value


def sigmoid(x: Array) -> Array:
    """The logistic function, in the form that never overflows: ``(1 + tanh(x/2)) / 2``."""
    return 0.5 + 0.5 * namespace(x).tanh(0.5 * x)


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x Wᵀ + b``: ``[..., E]`` with ``[N, E]`` gives ``[..., N]``."""
    y = x @ weight.T
    return y if bias is None else y + bias


def split(x: Array, parts: int) -> list[Array]:
    """Cut the last axis into ``parts`` equal pieces, as the gates are stacked."""
    size = x.shape[-1] // parts
    return [x[..., k * size : (k + 1) * size] for k in range(parts)]


@dataclass(frozen=True)
class RNN:
    """The plain recurrent network with ``tanh`` (Elman 1990, "Finding structure in time").

    ::

        h_t = tanh(W x_t + b_ih + R h_{t-1} + b_hh)
    """

    stacked = ("h",)
    gates = ()
    states = ("h",)
    names = MappingProxyType({"h": "hidden"})
    sigmoid_gates = ()
    memory = "h"
    keep_gate = None
    has_belt = False

    def initial_state(self, batch: int, hidden_size: int, like: Array) -> HiddenState:
        """Zeros ``[B, H]`` of the same kind, type and device as ``like``."""
        return HiddenState(_zeros(batch, hidden_size, like))

    def project_x(self, weights: Weights, x: Array) -> Array:
        """``W x + b_ih``: ``[..., E]`` to ``[..., H]``."""
        return linear(x, weights.weight_ih, weights.bias_ih)

    def project_h(self, weights: Weights, h: Array) -> Array:
        """``R h + b_hh``: ``[B, H]`` to ``[B, H]``."""
        return linear(h, weights.weight_hh, weights.bias_hh)

    def project(self, weights: Weights, x: Array, state: HiddenState) -> Projected:
        """Both linear parts of one step, each ``[B, H]``."""
        return Projected(self.project_x(weights, x), self.project_h(weights, state.h))

    def update(
        self, weights: Weights, pre: Projected, state: HiddenState, edit: Edit = unedited
    ) -> HiddenState:
        """The state after this word; calls ``edit`` for ``h``."""
        xp = namespace(pre.x)
        return HiddenState(edit("h", xp.tanh(pre.x + pre.h)))

    def written(self, gates: Mapping[str, Array]) -> Array:
        """Nothing is added to the state of a plain RNN: it is made anew at every word.

        Raises:
            TypeError: always.
        """
        raise TypeError("a plain RNN has no belt: its state is made anew at every word")


@dataclass(frozen=True)
class GRU:
    """The gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), with either reset convention.

    ::

        r_t = σ(W_r x_t + R_r h_{t-1})
        z_t = σ(W_z x_t + R_z h_{t-1})
        n_t = tanh(W_n x_t + r_t ⊙ (R_n h_{t-1} + b_hn))       reset_after (cuDNN, PyTorch)
        n_t = tanh(W_n x_t + R_n (r_t ⊙ h_{t-1}) + b_hn)       otherwise (the paper)
        h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}

    ``z`` keeps the old state, as in PyTorch and ONNX (Cho et al., eq. 7); Chung et al. 2014 write
    ``1 - z`` for it.
    """

    reset_after: bool = True

    stacked = ("r", "z", "n")
    gates = ("r", "z", "n")
    states = ("h",)
    names = MappingProxyType({"r": "reset", "z": "update", "n": "candidate", "h": "hidden"})
    sigmoid_gates = ("r", "z")
    memory = "h"
    keep_gate = "z"
    has_belt = True

    def initial_state(self, batch: int, hidden_size: int, like: Array) -> HiddenState:
        """Zeros ``[B, H]`` of the same kind, type and device as ``like``."""
        return HiddenState(_zeros(batch, hidden_size, like))

    def project_x(self, weights: Weights, x: Array) -> Array:
        """``W x + b_ih``: ``[..., E]`` to ``[..., 3H]``."""
        return linear(x, weights.weight_ih, weights.bias_ih)

    def project_h(self, weights: Weights, h: Array) -> Array:
        """``R h + b_hh``: ``[B, H]`` to ``[B, 3H]``; ``[B, 2H]`` where the reset gate comes first.

        In the paper's convention the candidate's product needs ``r``, so ``update`` does it.
        """
        if self.reset_after:
            return linear(h, weights.weight_hh, weights.bias_hh)
        rows = 2 * h.shape[-1]
        bias = None if weights.bias_hh is None else weights.bias_hh[:rows]
        return linear(h, weights.weight_hh[:rows, :], bias)

    def project(self, weights: Weights, x: Array, state: HiddenState) -> Projected:
        """Both linear parts of one step."""
        return Projected(self.project_x(weights, x), self.project_h(weights, state.h))

    def update(
        self, weights: Weights, pre: Projected, state: HiddenState, edit: Edit = unedited
    ) -> HiddenState:
        """The state after this word; calls ``edit`` for ``r, z, n, h`` in that order."""
        xp = namespace(pre.x)
        x_r, x_z, x_n = split(pre.x, 3)
        h_r, h_z, *h_n = split(pre.h, 3 if self.reset_after else 2)
        r = edit("r", sigmoid(x_r + h_r))
        z = edit("z", sigmoid(x_z + h_z))
        if self.reset_after:
            n = edit("n", xp.tanh(x_n + r * h_n[0]))
        else:
            rows = 2 * state.h.shape[-1]
            bias = None if weights.bias_hh is None else weights.bias_hh[rows:]
            n = edit("n", xp.tanh(x_n + linear(r * state.h, weights.weight_hh[rows:, :], bias)))
        return HiddenState(edit("h", (1 - z) * n + z * state.h))

    def written(self, gates: Mapping[str, Array]) -> Array:
        """What a word adds to the memory, ``(1 - z) ⊙ n``, from ``gates`` by their short names."""
        return (1 - gates["z"]) * gates["n"]


@dataclass(frozen=True)
class LSTM:
    """The long short-term memory (Hochreiter & Schmidhuber 1997); forget gate by Gers et al. 2000.

    ::

        i_t = σ(W_i x_t + R_i h_{t-1} + p_i ⊙ c_{t-1})     what is put on the belt
        f_t = σ(W_f x_t + R_f h_{t-1} + p_f ⊙ c_{t-1})     what stays on the belt
        g_t = tanh(W_g x_t + R_g h_{t-1})                  the candidate luggage
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t                    the belt
        o_t = σ(W_o x_t + R_o h_{t-1} + p_o ⊙ c_t)         what is read from it
        h_t = o_t ⊙ tanh(c_t)

    ``peephole``: the ``p`` terms (Gers & Schmidhuber 2000); without it they are absent.
    ``coupled``: ``f_t = 1 - i_t`` and no weights for ``f`` (CIFG, Greff et al. 2017,
    arXiv:1503.04069, section 3).
    """

    coupled: bool = False
    peephole: bool = False

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    names = MappingProxyType(
        {
            "f": "forget",
            "i": "input",
            "g": "candidate",
            "o": "output",
            "c": "cell",
            "h": "hidden",
        }
    )
    sigmoid_gates = ("f", "i", "o")
    memory = "c"
    keep_gate = "f"
    has_belt = True

    @property
    def stacked(self) -> tuple[str, ...]:
        """The gates that have weights, in the order in which these are stacked."""
        return ("i", "g", "o") if self.coupled else ("i", "f", "g", "o")

    def initial_state(self, batch: int, hidden_size: int, like: Array) -> LSTMState:
        """Zeros ``[B, H]`` of the same kind, type and device as ``like``."""
        return LSTMState(_zeros(batch, hidden_size, like), _zeros(batch, hidden_size, like))

    def project_x(self, weights: Weights, x: Array) -> Array:
        """``W x + b_ih``: ``[..., E]`` to ``[..., G*H]``."""
        return linear(x, weights.weight_ih, weights.bias_ih)

    def project_h(self, weights: Weights, h: Array) -> Array:
        """``R h + b_hh``: ``[B, H]`` to ``[B, G*H]``."""
        return linear(h, weights.weight_hh, weights.bias_hh)

    def project(self, weights: Weights, x: Array, state: LSTMState) -> Projected:
        """Both linear parts of one step, each ``[B, G*H]``."""
        return Projected(self.project_x(weights, x), self.project_h(weights, state.h))

    def update(
        self, weights: Weights, pre: Projected, state: LSTMState, edit: Edit = unedited
    ) -> LSTMState:
        """The state after this word; calls ``edit`` for ``i, f, g, c, o, h`` in that order."""
        xp = namespace(pre.x)
        parts = split(pre.x + pre.h, len(self.stacked))
        a_i, a_g, a_o = parts[0], parts[-2], parts[-1]
        a_f = None if self.coupled else parts[1]
        peep = split(weights.weight_ch, len(self.stacked) - 1) if self.peephole else None
        if peep is not None:
            a_i = a_i + peep[0] * state.c
        i = edit("i", sigmoid(a_i))
        if a_f is None:
            f = edit("f", 1 - i)
        else:
            f = edit("f", sigmoid(a_f if peep is None else a_f + peep[1] * state.c))
        g = edit("g", xp.tanh(a_g))
        c = edit("c", f * state.c + i * g)
        o = edit("o", sigmoid(a_o if peep is None else a_o + peep[-1] * c))
        return LSTMState(edit("h", o * xp.tanh(c)), c)

    def written(self, gates: Mapping[str, Array]) -> Array:
        """What a word puts on the belt, ``i ⊙ g``, from ``gates`` by their short names."""
        return gates["i"] * gates["g"]


Cell = RNN | GRU | LSTM

CELLS: dict[str, Cell] = {
    "rnn": RNN(),
    "gru": GRU(),
    "gru-reset-before": GRU(reset_after=False),
    "lstm": LSTM(),
    "lstm-peephole": LSTM(peephole=True),
    "cifg": LSTM(coupled=True),
    "cifg-peephole": LSTM(coupled=True, peephole=True),
}
"""The cells by the names that settings and model folders use."""


def weight_shapes(cell: Cell, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each of a layer's weights, by name: biases too, peepholes where there are."""
    rows = len(cell.stacked) * hidden_size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (rows, input_size),
        "weight_hh": (rows, hidden_size),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    if isinstance(cell, LSTM) and cell.peephole:
        shapes["weight_ch"] = (rows - hidden_size,)
    return shapes


def _zeros(batch: int, hidden_size: int, like: Array) -> Array:
    xp = namespace(like)
    return xp.zeros((batch, hidden_size), dtype=like.dtype, device=like.device)
