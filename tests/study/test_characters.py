"""The study of characters, on labels that can be counted and on units that are made to track."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr

from carousel.errors import SettingsError, TextError
from carousel.study import characters
from carousel.study.characters import (
    find_counters,
    label_characters,
    measure_gates,
    measure_retention,
    rank_correlations,
)
from carousel.study.registry import conduct_study

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
    trace = model.trace(model.tokenizer.decode(ids.tolist()))
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


def test_rank_correlations_are_spearmans_and_equal_values_share_their_rank():
    rng = np.random.default_rng(1)
    labels, values = rng.integers(0, 5, size=(3, 40)), rng.integers(0, 8, size=(40, 4))
    correlations = rank_correlations(labels, values)
    for row in range(3):
        for unit in range(4):
            wanted = spearmanr(labels[row], values[:, unit]).statistic
            assert correlations[row, unit] == pytest.approx(wanted)
    # By hand: ranks 4, 1, 4, 2, 4 against 5, 1, 3, 2, 4.
    by_hand = rank_correlations(np.array([[3, 1, 3, 2, 3]]), np.array([[9, 1, 3, 2, 5]]).T)
    assert by_hand[0, 0] == pytest.approx(8 / np.sqrt(8 * 10))


def test_a_unit_that_never_moves_goes_with_nothing():
    assert rank_correlations(np.arange(6)[None], np.ones((6, 1))).tolist() == [[0]]


def test_the_whole_study(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")
    (tmp_path / "book.txt").write_text(TEXT * 10)
    for name, value in (("GROUP", 200), ("STRIDE", 17), ("PIECES", 3), ("PIECE", 200),
                        ("DISTANCES", (1, 50, 100)), ("SHUFFLES", 19), ("SHOWN", 120),
                        ("HELD_OUT", 0.08)):  # fmt: skip
        monkeypatch.setattr(characters, name, value)
    said = io.StringIO()
    result = conduct_study(
        "characters",
        characters,
        characters.Arguments(tmp_path / "model", tmp_path / "book.txt"),
        out=tmp_path,
        console=Console(file=said, width=100),
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
        other.save(folder)
        with pytest.raises(SettingsError, match="an LSTM of characters"):
            characters.run(characters.Arguments(folder, tmp_path / "book.txt"), Console())
    model.save(tmp_path / "model")
    with pytest.raises(TextError, match="are needed"):
        characters.run(characters.Arguments(tmp_path / "model", tmp_path / "book.txt"), Console())
