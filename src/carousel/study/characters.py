"""Real text: what a character model of a book keeps on its belt, for how long, and in which units.

After Karpathy, Johnson & Fei-Fei 2015 (arXiv:1506.02078), who showed units of LSTMs on *War and
Peace* that are on inside quotation marks or count down a line, and how many gates are saturated.
Everything is measured on the last tenth of the text, which the ``characters`` recipe holds out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from carousel.errors import SettingsError, TextError
from carousel.lens.corpus_states import read_states
from carousel.lens.trace import trace_texts
from carousel.lens.units import find_units, halves
from carousel.model import LanguageModel
from carousel.study.characters_report import OPEN, SHUT, draw, report
from carousel.text.corpus import build_corpus
from carousel.text.files import find_files

__all__ = ["Arguments", "draw", "report", "run"]

HELD_OUT = 0.1
"""The share of the text, at its end, that is measured on."""
GATES = ("f", "i", "o")
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


@dataclass(frozen=True)
class Arguments:
    """What the study needs to know."""

    model: Path
    """The folder of an LSTM of characters."""
    text: Path
    """The text that it was trained on; the last tenth of it was held out."""


def run(arguments: Arguments, console: Console) -> dict[str, Any]:
    """Measure a character model on the end of the text that it was trained on.

    Raises:
        SettingsError: the model is not an LSTM of characters.
        TextError: the text is too short, or has no quotation marks.
    """
    model = LanguageModel.load(arguments.model)
    # The measures below name an LSTM's gates, so they are asked for and not the kind of cell.
    if model.tokenizer.kind != "chars" or not {*GATES, "g", "c"} <= set(model.model.cell.names):
        raise SettingsError(
            f"this study is of an LSTM of characters; {arguments.model} is a {model.config.cell} "
            f"of {model.tokenizer.kind}: carousel train BOOK --recipe characters --out FOLDER"
        )
    ids = build_corpus(find_files([arguments.text]), model.tokenizer).ids
    ids = np.asarray(ids[-round(HELD_OUT * len(ids)) :])
    if len(ids) < 4 * GROUP:
        raise TextError(
            f"the last tenth of {arguments.text} has {len(ids)} characters; {4 * GROUP} are needed"
        )
    labels = label_characters(ids, model.tokenizer.id('"'), model.tokenizer.eol_id)
    if not 0 < labels["inside"].mean() < 1:
        raise TextError(f'the last tenth of {arguments.text} has no text inside ", or none outside')
    rows = np.arange(STRIDE, len(ids), STRIDE)
    column, inside, groups = labels["column"][rows], labels["inside"][rows], rows // GROUP
    layers, samples = measure_gates(model, ids, rows)
    tracked = [
        {
            "quotation": find_units(cells, inside, groups, count=FOUND, shuffles=SHUFFLES).table(),
            "line": find_counters(cells, column, groups),
        }
        for cells in samples
    ]
    return {
        "study": "characters",
        "model": str(arguments.model),
        "characters": len(ids),
        "inside_quotation": float(labels["inside"].mean()),
        "rows": len(rows),
        "layers": layers,
        "retention": measure_retention(model, ids),
        "tracked": tracked,
        "excerpt": _read_excerpt(model, ids, labels, tracked),
    }


def label_characters(ids: np.ndarray, quote: int | None, eol: int) -> dict[str, np.ndarray]:
    """After each character: ``inside`` an open quotation, and the ``column`` it stands in.

    A quotation ends with its paragraph at the latest: one that goes on in the next opens there
    anew and was never closed. ``column`` is 0 at a line's end.
    """
    inside, column = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=np.int64)
    is_open, position = False, 0
    for number, token in enumerate(ids.tolist()):
        position = 0 if token == eol else position + 1
        if token == quote:
            is_open = not is_open
        elif token == eol and number and ids[number - 1] == eol:
            is_open = False
        inside[number], column[number] = is_open, position
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
    for start, values in read_states(model.model, ids, points):
        for layer in layers:
            for gate in GATES:
                gates = values[f"layers.{layer}.{gate}"]
                counts[layer, gate] += (gates > OPEN).sum(0), (gates < SHUT).sum(0)
            logs[layer] += np.log(np.maximum(values[f"layers.{layer}.f"], 1e-12)).sum(0)
            cells = values[f"layers.{layer}.c"]
            low, high = np.searchsorted(rows, [start, start + len(cells)])
            samples[layer][low:high] = cells[rows[low:high] - start]
    by_layer = []
    for layer in layers:
        mean = np.minimum(logs[layer] / len(ids), -1e-12)
        gates_of_layer = {}
        for gate in GATES:
            right, left = counts[layer, gate] / len(ids)
            gates_of_layer[gate] = {
                "right_saturated": right.tolist(),
                "left_saturated": left.tolist(),
                "always_open": float((right >= ALWAYS).mean()),
                "always_closed": float((left >= ALWAYS).mean()),
            }
        half_life = (np.log(0.5) / mean).tolist()
        by_layer.append({"gates": gates_of_layer, "half_life": half_life})
    return by_layer, samples


def measure_retention(model: LanguageModel, ids: np.ndarray) -> list[dict[str, list[float]]]:
    """For each layer what is left of a character's luggage after so many more: all units' sum.

    ``Σ|left| / Σ|put|``, as ``lens.belt`` has it, over stretches spread over the text.
    """
    starts = np.linspace(0, len(ids) - PIECE, PIECES).astype(int)
    texts = [model.tokenizer.decode(ids[start : start + PIECE].tolist()) for start in starts]
    by_layer = []
    for layer in range(model.config.layers):
        points = [f"layers.{layer}.{name}" for name in "fig"]
        left, put_in = np.zeros(len(DISTANCES)), np.zeros(len(DISTANCES))
        for trace in trace_texts(model.model, model.tokenizer, texts, only=points, logits=False):
            put = np.abs((trace["i", layer] * trace["g", layer]).astype(np.float64))
            kept = np.cumsum(np.log(np.maximum(trace["f", layer], 1e-12), dtype=np.float64), axis=0)
            for number, distance in enumerate(DISTANCES):
                stays = np.exp(kept[distance:] - kept[:-distance])
                left[number] += (put[:-distance] * stays).sum()
                put_in[number] += put[:-distance].sum()
        share = (left / put_in).tolist()
        by_layer.append({"distance": list(map(float, DISTANCES)), "left": share})
    return by_layer


def find_counters(values: np.ndarray, column: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """The units that go most with the position in the line, chosen on one half of the text.

    Rank correlations (Spearman 1904) on the other half, as cells may have a few very large values;
    and what shuffled positions give: the largest of all units in 95 of 100 shuffles.

    Args:
        values: cell states ``[N, H]``.
        column: ``[N]``: the position in the line at each.
        groups: ``[N]``: rows of one group stay in one half.
    """
    rng = np.random.default_rng(0)
    first = halves(groups, rng)
    on_first = rank_correlations(column[None, first], values[first])[0]
    chosen = np.argsort(-np.abs(on_first))[:FOUND]
    judged = column[~first]
    columns = np.stack([judged, *(rng.permutation(judged) for _ in range(SHUFFLES))])
    correlations = rank_correlations(columns, values[~first])
    largest = np.abs(correlations[1:]).max(1)
    return {
        "units": chosen.tolist(),
        "correlation": correlations[0, chosen].tolist(),
        "shuffled_95": float(np.quantile(largest, 0.95)),
    }


def rank_correlations(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spearman's ``ρ`` of each row of ``labels [S, N]`` with each unit of ``values [N, H]``.

    Returns:
        ``[S, H]``; 0 for a unit that never moves.
    """
    distances = cdist(rankdata(labels, axis=1), rankdata(values, axis=0).T, "correlation")
    correlations: np.ndarray = np.nan_to_num(1 - distances)
    return correlations


def _read_excerpt(
    model: LanguageModel,
    ids: np.ndarray,
    labels: Mapping[str, np.ndarray],
    tracked: list[dict[str, Any]],
) -> dict[str, Any]:
    """A piece of text with many quotations, and what the best unit of each kind does along it."""
    changes = np.abs(np.diff(labels["inside"].astype(np.int8)))
    # A line's start well into the text with the most changes after it.
    starts = 1 + np.flatnonzero(ids[PIECE : -2 * SHOWN] == model.tokenizer.eol_id) + PIECE
    sums = np.concatenate([[0], np.cumsum(changes)])
    start = int(starts[np.argmax(sums[starts + SHOWN] - sums[starts])])
    text = model.tokenizer.decode(ids[start - PIECE : start + SHOWN].tolist())
    excerpt: dict[str, Any] = {
        name: labels[name][start : start + SHOWN].tolist() for name in ("inside", "column")
    }
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
        trace = model.trace(text, only=[f"layers.{layer}.c"], logits=False)
        excerpt[name] = {
            "layer": layer,
            "unit": unit,
            "values": trace["c", layer][-SHOWN:, unit].tolist(),
        }
    return excerpt
