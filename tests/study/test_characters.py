"""The study of characters, on labels that can be counted and on units that are made to track."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from carousel.errors import SettingsError, TextError
from carousel.lens.trace import trace_text
from carousel.storage.model_folder import write_folder
from carousel.study import characters
from carousel.study.characters import (
    _ranks,
    find_counters,
    label_characters,
    measure_gates,
    measure_retention,
)

TEXT = 'he said\n"no, not\ntoday" and left.\n\n"never closed\n\nbut here: "yes" and no.\n' * 60


@pytest.fixture(scope="module")
def model(make_model):
    return make_model("lstm", kind="chars", text=TEXT, layers=2, hidden_size=9)


def test_labels():
    text = 'a "b\nc" d\n\n"e\n\n"f" g'
    ids = np.array([{"\n": 1, '"': 2}.get(char, 3) for char in text])
    labels = label_characters(ids, 2, 1)
    marked = "".join("#" if inside else "." for inside in labels["inside"])
    assert marked == "..##" + "##" + "...." + "." + "##" + "#" + "." + "##" + "..."
    assert labels["column"].tolist() == [
        1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0, 1, 2, 0, 0, 1, 2, 3, 4, 5,
    ]  # fmt: skip


def test_gates_are_counted_as_a_trace_shows_them(model):
    ids = np.array(model.tokenizer.encode(TEXT))[:700]
    rows = np.arange(10, 700, 50)
    layers, samples = measure_gates(model, ids, rows)
    trace = trace_text(model, model.tokenizer.decode(ids.tolist()))
    for layer, found in enumerate(layers):
        for gate in "fio":
            values = trace[gate, layer][1:]
            table = found["gates"][gate]
            np.testing.assert_allclose(table["right_saturated"], (values > 0.9).mean(0), atol=2e-3)
            np.testing.assert_allclose(table["left_saturated"], (values < 0.1).mean(0), atol=2e-3)
            assert table["always_open"] == np.mean(np.array(table["right_saturated"]) >= 0.95)
        mean = np.log(trace["f", layer][1:]).mean(0)
        np.testing.assert_allclose(found["half_life"], np.log(0.5) / mean, rtol=1e-3)
        np.testing.assert_allclose(samples[layer], trace["c", layer][1:][rows], atol=1e-4)


def test_luggage_left_is_what_the_belt_says(model, monkeypatch):
    monkeypatch.setattr(characters, "PIECES", 2)
    monkeypatch.setattr(characters, "PIECE", 60)
    monkeypatch.setattr(characters, "DISTANCES", (1, 7, 30))
    ids = np.array(model.tokenizer.encode(TEXT))[:400]
    found = measure_retention(model, ids)
    for layer in range(2):
        left = {1: 0.0, 7: 0.0, 30: 0.0}
        put = dict(left)
        for start in (0, 340):
            belt = model.trace(model.tokenizer.decode(ids[start : start + 60].tolist())).belt(layer)
            luggage = np.abs(belt.luggage()).sum(2)
            for distance in left:
                for s in range(len(luggage) - distance):
                    left[distance] += luggage[s + distance, s]
                    put[distance] += luggage[s, s]
        wanted = [left[distance] / put[distance] for distance in left]
        np.testing.assert_allclose(found[layer]["left"], wanted, rtol=1e-4)


def test_a_unit_that_counts_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    column = rng.integers(0, 70, size=600)
    values = rng.normal(size=(600, 12))
    groups = np.arange(600) // 20
    noise = find_counters(values, column, groups)
    assert abs(noise["correlation"][0]) < 1.5 * noise["shuffled_95"] < 0.4
    values[:, 4] = np.exp(-column + rng.normal(size=600))
    found = find_counters(values, column, groups)
    assert found["units"][0] == 4
    assert found["correlation"][0] < -0.99


def test_ranks_of_equal_values_are_shared():
    assert _ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4, 1, 4, 2, 4]


def test_the_whole_study(model, tmp_path, monkeypatch):
    write_folder(tmp_path / "model", model.config, model.weights, model.tokenizer)
    (tmp_path / "book.txt").write_text(TEXT * 10)
    for name, value in (("GROUP", 200), ("STRIDE", 17), ("PIECES", 3), ("PIECE", 200),
                        ("DISTANCES", (1, 50, 100)), ("SHUFFLES", 19), ("SHOWN", 120),
                        ("HELD_OUT", 0.08)):  # fmt: skip
        monkeypatch.setattr(characters, name, value)
    said = io.StringIO()
    result = characters.run(
        Console(file=said, width=100), tmp_path, tmp_path / "model", tmp_path / "book.txt"
    )
    folder = tmp_path / "characters"
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(result))
    assert (folder / "characters.png").stat().st_size > 10_000
    assert len(result["layers"]) == len(result["tracked"]) == 2
    assert "position in line" in said.getvalue()


def test_what_it_is_not_for(model, make_model, tmp_path):
    (tmp_path / "book.txt").write_text(TEXT)
    for kind, cell in (("words", "lstm"), ("chars", "gru")):
        other = make_model(cell, kind=kind)
        folder = tmp_path / f"{kind}-{cell}"
        write_folder(folder, other.config, other.weights, other.tokenizer)
        with pytest.raises(SettingsError, match="an LSTM of characters"):
            characters.run(Console(), tmp_path, folder, tmp_path / "book.txt")
    write_folder(tmp_path / "model", model.config, model.weights, model.tokenizer)
    with pytest.raises(TextError, match="are needed"):
        characters.run(Console(), tmp_path, tmp_path / "model", tmp_path / "book.txt")
