"""Real text: what a character model of a book keeps on its belt, for how long, and in which units.

After Karpathy, Johnson & Fei-Fei 2015 (arXiv:1506.02078), who showed units of LSTMs on *War and
Peace* that are on inside quotation marks or count down a line, and how many gates are saturated.
Everything is measured on the last tenth of the text, which the ``characters`` recipe holds out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from carousel.cells import CELLS, LSTM
from carousel.draw.plots.memory import characters_figure
from carousel.draw.terminal.tables import facts
from carousel.errors import SettingsError, TextError
from carousel.lens.corpus_states import read_states
from carousel.lens.trace import trace_texts
from carousel.lens.units import find_units, halves
from carousel.model import LanguageModel
from carousel.storage.atomic import write_file
from carousel.text.corpus import build_corpus
from carousel.text.files import find_files

HELD_OUT = 0.1
"""The share of the text, at its end, that is measured on."""
GATES = ("f", "i", "o")
OPEN, SHUT = 0.9, 0.1
"""Karpathy et al.'s right- and left-saturated: a gate above, a gate below."""
ALWAYS = 0.95
"""The share of characters from which on a gate counts as always open or always closed."""
PIECES, PIECE = 16, 1024
"""Stretches of text, and the characters of each, over which luggage is followed."""
DISTANCES = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500)
STRIDE = 211
"""Characters between two that units are judged at, so that they hang together little."""
GROUP = 10_000
"""Characters of one stretch: as a whole it chooses units, or it judges them."""
FOUND = 5
SHUFFLES = 500
SHOWN = 240
"""Characters of the text along which the two best units are drawn."""


def run(console: Console, out: Path, model_folder: Path, text: Path) -> dict[str, Any]:
    """Measure a character model on the end of the text it was trained on; print, draw, write.

    Raises:
        SettingsError: not an LSTM of characters.
        TextError: too little text, or one without quotation marks.
    """
    model = LanguageModel.load(model_folder)
    if model.tokenizer.kind != "chars" or not isinstance(CELLS[model.config.cell], LSTM):
        raise SettingsError(
            f"this study is of an LSTM of characters; {model_folder} is a {model.config.cell} "
            f"of {model.tokenizer.kind}: carousel train BOOK --recipe characters --out {{folder}}"
        )
    ids = build_corpus(find_files([text]), model.tokenizer).ids
    ids = np.asarray(ids[-round(HELD_OUT * len(ids)) :])
    if len(ids) < 4 * GROUP:
        raise TextError(
            f"the last tenth of {text} has {len(ids)} characters; {4 * GROUP} are needed"
        )
    labels = label_characters(ids, model.tokenizer.id('"'), model.tokenizer.eol_id)
    if not 0 < labels["inside"].mean() < 1:
        raise TextError(f'the last tenth of {text} has no text inside ", or none outside')
    rows = np.arange(STRIDE, len(ids), STRIDE)
    column, inside, groups = labels["column"][rows], labels["inside"][rows], rows // GROUP
    layers, samples = measure_gates(model, ids, rows)
    tracked = [
        {
            "quotation": find_units(cells, inside, FOUND, groups=groups, shuffles=SHUFFLES).table(),
            "line": find_counters(cells, column, groups),
        }
        for cells in samples
    ]
    folder = out / "characters"
    result = {
        "model": str(model_folder),
        "characters": len(ids),
        "inside_quotation": float(labels["inside"].mean()),
        "rows": len(rows),
        "layers": layers,
        "retention": measure_retention(model, ids),
        "tracked": tracked,
        "figure": str(folder / "characters.png"),
    }
    characters_figure(result, _stretch(model, ids, labels, tracked), folder / "characters.png")
    write_file(folder / "results.json", json.dumps(result, indent=1) + "\n")
    show(console, result)
    return result


def label_characters(ids: np.ndarray, quote: int | None, eol: int) -> dict[str, np.ndarray]:
    """After each character: ``inside`` an open quotation, and the ``column`` it stands in.

    A quotation ends with its paragraph at the latest: one that goes on in the next opens there
    anew and was never closed. ``column`` is 0 at a line's end.
    """
    inside, column = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=np.int64)
    now, at = False, 0
    for number, token in enumerate(ids.tolist()):
        at = 0 if token == eol else at + 1
        if token == quote:
            now = not now
        elif token == eol and number and ids[number - 1] == eol:
            now = False
        inside[number], column[number] = now, at
    return {"inside": inside, "column": column}


def measure_gates(
    model: LanguageModel, ids: np.ndarray, rows: np.ndarray
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """For each layer how saturated gates are and how long units keep; cells at ``rows``.

    Half-lives are ``ln ½ / mean ln f`` of each unit, in characters. The cells are ``[n, H]``.
    """
    H, layers = model.config.hidden_size, range(model.config.layers)
    counts = {(layer, gate): np.zeros((2, H)) for layer in layers for gate in GATES}
    logs = np.zeros((model.config.layers, H))
    samples = [np.empty((len(rows), H), dtype=np.float32) for _ in layers]
    points = [f"layers.{layer}.{name}" for layer in layers for name in (*GATES, "c")]
    for start, values in read_states(model, ids, points):
        for layer in layers:
            for gate in GATES:
                gates = values[f"layers.{layer}.{gate}"]
                counts[layer, gate] += (gates > OPEN).sum(0), (gates < SHUT).sum(0)
            logs[layer] += np.log(np.maximum(values[f"layers.{layer}.f"], 1e-12)).sum(0)
            cells = values[f"layers.{layer}.c"]
            low, high = np.searchsorted(rows, [start, start + len(cells)])
            samples[layer][low:high] = cells[rows[low:high] - start]
    made = []
    for layer in layers:
        mean = np.minimum(logs[layer] / len(ids), -1e-12)
        gates_found = {}
        for gate in GATES:
            right, left = counts[layer, gate] / len(ids)
            gates_found[gate] = {
                "right_saturated": right.tolist(),
                "left_saturated": left.tolist(),
                "always_open": float((right >= ALWAYS).mean()),
                "always_closed": float((left >= ALWAYS).mean()),
            }
        made.append({"gates": gates_found, "half_life": (np.log(0.5) / mean).tolist()})
    return made, samples


def measure_retention(model: LanguageModel, ids: np.ndarray) -> list[dict[str, list[float]]]:
    """For each layer what is left of a character's luggage after so many more: all units' sum.

    ``Σ|left| / Σ|put|``, as ``lens.belt`` has it, over stretches spread over the text.
    """
    starts = np.linspace(0, len(ids) - PIECE, PIECES).astype(int)
    texts = [model.tokenizer.decode(ids[start : start + PIECE].tolist()) for start in starts]
    made = []
    for layer in range(model.config.layers):
        points = [f"layers.{layer}.{name}" for name in "fig"]
        left, put_in = np.zeros(len(DISTANCES)), np.zeros(len(DISTANCES))
        for trace in trace_texts(model, texts, only=points, logits=False):
            put = np.abs(trace["write", layer].astype(np.float64))
            kept = np.cumsum(np.log(np.maximum(trace["f", layer], 1e-12), dtype=np.float64), axis=0)
            for number, distance in enumerate(DISTANCES):
                stays = np.exp(kept[distance:] - kept[:-distance])
                left[number] += (put[:-distance] * stays).sum()
                put_in[number] += put[:-distance].sum()
        made.append({"distance": list(map(float, DISTANCES)), "left": (left / put_in).tolist()})
    return made


def find_counters(values: np.ndarray, column: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """The units that go most with the position in the line, chosen on one half of the text.

    Rank correlations (Spearman 1904) on the other half, as cells may have a few very large values;
    and what shuffled positions give: the largest of all units in 95 of 100 shuffles.
    """
    rng = np.random.default_rng(0)
    first = halves(groups, rng)

    def ranked(x: np.ndarray) -> np.ndarray:
        ranks = np.apply_along_axis(_ranks, 0, x)
        ranks -= ranks.mean(0)
        made: np.ndarray = ranks / np.maximum(np.linalg.norm(ranks, axis=0), 1e-12)
        return made

    chosen = np.argsort(-np.abs(ranked(column[first]) @ ranked(values[first])))[:FOUND]
    units, places = ranked(values[~first]), ranked(column[~first])
    judged = places @ units
    largest = [np.abs(rng.permutation(places) @ units).max() for _ in range(SHUFFLES)]
    return {
        "units": chosen.tolist(),
        "correlation": judged[chosen].tolist(),
        "shuffled_95": float(np.quantile(largest, 0.95)),
    }


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks ``[n]`` from 1; equal values share the mean of theirs."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[which]
    return ranks


def show(console: Console, result: Mapping[str, Any]) -> None:
    """Print what came out."""
    names = {"f": "forget", "i": "input", "o": "output"}
    console.print(
        f"\n{result['characters']:,} characters held out, {result['inside_quotation']:.0%} of them "
        f"inside quotation marks",
        highlight=False,
    )
    for layer, found in enumerate(result["layers"]):
        half = np.array(found["half_life"])
        kept = result["retention"][layer]
        rows = []
        for gate, table in found["gates"].items():
            right, left = (np.mean(table[f"{side}_saturated"]) for side in ("right", "left"))
            rows.append(
                (
                    f"{names[gate]} gates",
                    f"above {OPEN} {right:.1%} of the time, below {SHUT} {left:.1%}; "
                    f"always open {table['always_open']:.1%} of units, "
                    f"always closed {table['always_closed']:.1%}",
                )
            )
        quantiles = np.quantile(half, [0.1, 0.5, 0.9])
        rows.append(
            (
                "half-life",
                "10%, 50%, 90% of units: {:.1f}, {:.1f}, {:.1f} characters; the longest {:.0f}; "
                "{:d} units above 100".format(*quantiles, half.max(), int((half > 100).sum())),
            )
        )
        rows.append(
            (
                "luggage left",
                ", ".join(
                    f"{left:.1%} after {distance:.0f}"
                    for distance, left in zip(kept["distance"], kept["left"], strict=True)
                    if distance in (1, 5, 10, 50, 100, 500)
                ),
            )
        )
        quotation = result["tracked"][layer]["quotation"]
        rows.append(
            (
                "inside quotation",
                f"unit {quotation['units'][0]}: AUC {quotation['auc'][0]:.3f}, "
                f"p {quotation['p_units'][0]:.3f}; mean of {FOUND} units "
                f"{quotation['separation']:.3f}, with shuffled labels "
                f"{quotation['shuffled_95'][0]:.3f} to {quotation['shuffled_95'][2]:.3f}, "
                f"random units {quotation['random_95'][0]:.3f} to {quotation['random_95'][2]:.3f}",
            )
        )
        line = result["tracked"][layer]["line"]
        rows.append(
            (
                "position in line",
                f"unit {line['units'][0]}: rank correlation {line['correlation'][0]:+.3f}; "
                f"next {', '.join(f'{r:+.3f}' for r in line['correlation'][1:])}; "
                f"shuffled, largest of all units {line['shuffled_95']:.3f}",
            )
        )
        console.print(f"\n[bold]Layer {layer}[/bold], {len(half)} units", highlight=False)
        console.print(facts(rows))
    console.print(f"\nFigure: {result['figure']}", highlight=False, soft_wrap=True)


def _stretch(
    model: LanguageModel,
    ids: np.ndarray,
    labels: Mapping[str, np.ndarray],
    tracked: list[dict[str, Any]],
) -> dict[str, Any]:
    """A stretch with many quotations, and what the best unit of each kind does along it."""
    changes = np.abs(np.diff(labels["inside"].astype(np.int8)))
    # A line's start well into the text with the most changes after it.
    starts = 1 + np.flatnonzero(ids[PIECE : -2 * SHOWN] == model.tokenizer.eol_id) + PIECE
    sums = np.concatenate([[0], np.cumsum(changes)])
    start = int(starts[np.argmax(sums[starts + SHOWN] - sums[starts])])
    text = model.tokenizer.decode(ids[start - PIECE : start + SHOWN].tolist())
    made: dict[str, Any] = {"inside": labels["inside"][start : start + SHOWN].tolist()}
    made["column"] = labels["column"][start : start + SHOWN].tolist()
    best = {
        "quotation": max(
            range(len(tracked)), key=lambda layer: tracked[layer]["quotation"]["separation"]
        ),
        "line": max(
            range(len(tracked)),
            key=lambda layer: abs(tracked[layer]["line"]["correlation"][0]),
        ),
    }
    for name, layer in best.items():
        unit = tracked[layer][name]["units"][0]
        (trace,) = trace_texts(model, [text], only=[f"layers.{layer}.c"], logits=False)
        made[name] = {
            "layer": layer,
            "unit": unit,
            "values": trace["c", layer][-SHOWN:, unit].tolist(),
        }
    return made
