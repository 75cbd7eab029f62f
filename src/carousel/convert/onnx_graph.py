"""Building an ONNX graph: nodes and constants, collected in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

OPSET = 18
IR_VERSION = 9


class GraphBuilder:
    """Collects the nodes and the constants of a graph, or of the body of a Scan."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, values: np.ndarray | Sequence[int]) -> str:
        """Keep an array, whole numbers as int64 and all others as float32, and return its name."""
        array = np.asarray(values)
        self.constants[name] = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        return name

    def add(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> str:
        """Add a node and return the name of its first output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, list(inputs), list(outputs), **attributes))
        return outputs[0]

    def linear(self, x: str, weight: str, bias: str | None, name: str) -> str:
        """``x W + b``: a product with the constant ``weight``, and a sum where there is a bias."""
        if bias is None:
            return self.add("MatMul", [x, weight], [name])
        product = self.add("MatMul", [x, weight], [f"{name}.product"])
        return self.add("Add", [product, bias], [name])

    def to_graph(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """The finished graph, with its inputs and outputs as ``value`` makes them."""
        from onnx import helper, numpy_helper

        constants = [
            numpy_helper.from_array(np.ascontiguousarray(array), constant)
            for constant, array in self.constants.items()
        ]
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), constants)


def value(name: str, shape: Sequence[int | str | None], *, whole: bool = False) -> Any:
    """An input or output of a graph, of float32 or int64.

    Args:
        name: its name.
        shape: its axes; a string names an axis of any length.
        whole: whether it holds whole numbers.
    """
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(
        name, TensorProto.INT64 if whole else TensorProto.FLOAT, list(shape)
    )
