"""The one table of foreign gate orders: how other libraries stack the gates of a layer's weights.

Gates go by our names (see ``cells.py``). All of them agree with us on what a GRU's ``z`` does:
it keeps the old state, ``h = (1 - z) ⊙ n + z ⊙ h``. They differ in where the reset gate stands:

- PyTorch multiplies ``r`` with ``R_n h + b_hn``: ``GRU(reset_after=True)``, always.
- ONNX says so by the attribute ``linear_before_reset``; its default, 0, is the paper's convention.
- Keras says so by ``reset_after``, which is true in the layers of Keras 2 and 3 by default.

Sources: PyTorch, the documentation of ``torch.nn.RNN``, ``GRU`` and ``LSTM`` (variables
``weight_ih_l[k]``); ONNX, the operators ``RNN-22``, ``GRU-22`` and ``LSTM-22`` (inputs ``W``, ``R``
and ``P``: ``[zrh]``, ``[iofc]``, ``[iof]``, where ONNX's ``h`` and ``c`` are our candidates);
Keras, ``GRUCell.call`` and ``LSTMCell.call`` (``kernel``: ``z, r, h`` and ``i, f, c, o``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

Order = Mapping[str, tuple[str, ...]]
"""The stacked gates of each kind of cell: ``rnn``, ``gru``, ``lstm``, and ``peephole``."""

PYTORCH: Order = MappingProxyType(
    {"rnn": ("h",), "gru": ("r", "z", "n"), "lstm": ("i", "f", "g", "o")}
)
ONNX: Order = MappingProxyType(
    {
        "rnn": ("h",),
        "gru": ("z", "r", "n"),
        "lstm": ("i", "o", "f", "g"),
        "peephole": ("i", "o", "f"),
    }
)

KERAS: Order = MappingProxyType(
    {"rnn": ("h",), "gru": ("z", "r", "n"), "lstm": ("i", "f", "g", "o")}
)


def restack(stacked: np.ndarray, given: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Gates stacked in the order ``given``, ``[G*H, ...]``, put into the order ``wanted``."""
    blocks = stacked.reshape(len(given), -1, *stacked.shape[1:])
    return np.concatenate([blocks[given.index(gate)] for gate in wanted])
