"""Foreign gate orders: PyTorch's is ours; the ONNX half is shown by ONNX's own cases."""

import numpy as np

from carousel.cells import CELLS
from carousel.convert.gate_order import ONNX, PYTORCH, restack


def test_pytorchs_order_is_that_of_our_cells():
    assert {name: CELLS[name].stacked for name in PYTORCH} == dict(PYTORCH)


def test_restack_moves_whole_gates():
    stacked = np.arange(8.0).reshape(8, 1) * [1, 10]  # four gates of two units
    moved = restack(stacked, ONNX["lstm"], PYTORCH["lstm"])
    assert moved[:, 0].tolist() == [0, 1, 4, 5, 6, 7, 2, 3]  # i o f g to i f g o
    np.testing.assert_array_equal(restack(moved, PYTORCH["lstm"], ONNX["lstm"]), stacked)
    bias = restack(np.arange(3.0), ONNX["gru"], PYTORCH["gru"])
    assert bias.tolist() == [1, 0, 2]
