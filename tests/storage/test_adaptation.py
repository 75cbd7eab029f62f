"""Parameters of adaptation in a model folder: written, read, and checked before they are used."""

import json

import numpy as np
import pytest

from carousel.errors import FolderError, SettingsError
from carousel.storage.adaptation import (
    ADAPTATION_FILE,
    GRADIENTS_FILE,
    Adaptation,
    CacheParameters,
    DynamicParameters,
    read_adaptation,
    read_gradients,
    write_adaptation,
    write_gradients,
)

TUNED = Adaptation(CacheParameters(0.7, 0.25, 2000), DynamicParameters(0.01, 0.0, 1e-4, 20))

DYNAMIC = {"learning_rate": 1, "decay": 0, "epsilon": 1, "window": 1}


def test_what_is_written_is_read(tmp_path):
    assert read_adaptation(tmp_path) == read_adaptation(None) == Adaptation()
    write_adaptation(tmp_path, TUNED)
    assert read_adaptation(tmp_path) == TUNED
    table = json.loads((tmp_path / ADAPTATION_FILE).read_text())
    assert table["cache"] == {"theta": 0.7, "lambda": 0.25, "size": 2000}
    assert [path.name for path in tmp_path.iterdir()] == [ADAPTATION_FILE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not of format 1"),
        ({"cache": None}, "expected theta, lambda, size"),
        ({"extra": {}}, "must hold cache and dynamic"),
        (
            {"cache": {"theta": 1, "lambda": 1.0, "size": 5}},
            "lambda must be a number",
        ),
        ({"cache": {"theta": "1", "lambda": 0.1, "size": 5}}, "theta must be a number"),
        ({"cache": {"theta": 1, "lambda": 0.1, "size": 10**9}}, "size must be a whole number"),
        ({"cache": {"theta": 1, "lambda": 0.1, "size": True}}, "size must be a whole number"),
        ({"cache": {"theta": float("nan"), "lambda": 0.1, "size": 5}}, "theta must be a number"),
        (
            {"dynamic": {"learning_rate": -1, "decay": 0, "epsilon": 1, "window": 1}},
            "learning_rate",
        ),
        ({"dynamic": {"learning_rate": 1, "decay": 0, "epsilon": 0, "window": 1}}, "epsilon"),
    ],
)
def test_a_damaged_file_is_an_error_in_a_line(tmp_path, change, message):
    table = {**json.loads(TUNED.to_json()), **change}
    (tmp_path / ADAPTATION_FILE).write_text(json.dumps(table))
    with pytest.raises(FolderError, match=message) as caught:
        read_adaptation(tmp_path)
    assert "\n" not in str(caught.value)
    assert ADAPTATION_FILE in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b" " * 2**17], ids=len)
def test_a_file_that_is_something_else(tmp_path, data):
    (tmp_path / ADAPTATION_FILE).write_bytes(data)
    with pytest.raises(FolderError, match=ADAPTATION_FILE):
        read_adaptation(tmp_path)


def test_parameters_out_of_range():
    with pytest.raises(SettingsError, match="size must be a whole number from 1 to 65536, not 0"):
        CacheParameters(size=0)
    with pytest.raises(SettingsError, match="window"):
        DynamicParameters(window=2.0)


def test_gradients_of_another_model_are_refused(tmp_path, make_model):
    config = make_model().config
    rng = np.random.default_rng(0)
    gradients = {
        name: rng.uniform(0, 1, shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    assert read_gradients(tmp_path, config) is None
    write_gradients(tmp_path, config, gradients)
    for name, values in read_gradients(tmp_path, config).items():
        np.testing.assert_allclose(values, gradients[name], rtol=0.01)
    with pytest.raises(FolderError, match=GRADIENTS_FILE):
        read_gradients(tmp_path, make_model(hidden_size=7).config)
    write_gradients(tmp_path, config, {name: -values for name, values in gradients.items()})
    with pytest.raises(FolderError, match="negative"):
        read_gradients(tmp_path, config)
