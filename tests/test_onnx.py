"""Every node case for RNN, GRU and LSTM of ONNX's own conformance suite."""

import warnings

import numpy as np
import pytest

from carousel.engine.extension import instruction_sets
from carousel.unroll import unroll
from onnx_adapter import load_data_set, run_engine, run_node

with warnings.catch_warnings():
    # Making the cases of unrelated operators divides by zero on purpose.
    warnings.simplefilter("ignore")
    from onnx.backend.test.loader import load_model_tests

    CASES = [
        case
        for case in load_model_tests(kind="node")
        if len(case.model.graph.node) == 1
        and case.model.graph.node[0].op_type in ("RNN", "GRU", "LSTM")
    ]


def test_all_cases_are_there():
    assert len(CASES) == 18


RUNNERS = {"cells": unroll} | {isa: run_engine(isa) for isa in instruction_sets()}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conformance(case, runner):
    (node,) = case.model.graph.node
    for data in case.data_sets:
        given, expected = load_data_set(data)
        arrays = iter(given)
        inputs = [next(arrays) if name else None for name in node.input]
        outputs = run_node(case.model, inputs, RUNNERS[runner])
        names = ["Y", "Y_h", "Y_c"]
        wanted = [names[k] for k, name in enumerate(node.output) if name]
        assert len(wanted) == len(expected) > 0
        for name, array in zip(wanted, expected, strict=True):
            np.testing.assert_allclose(outputs[name], array, rtol=1e-5, atol=1e-6)
