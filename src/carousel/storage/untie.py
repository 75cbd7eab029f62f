"""A tied adaptive softmax by the names of one that is not tied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carousel.adaptive_softmax import clusters
from carousel.storage.number_formats import Quantized, Stored, Tiled, from_tiles


def untie(weights: Mapping[str, Stored], cutoffs: Sequence[int]) -> dict[str, Stored]:
    """The weights, and those of a tied decoder by the names of one that is not, too.

    The clusters are views of the embedding; the head's few rows are a copy.
    """
    made = dict(weights)
    if "decoder.clusters.weight" not in made or "decoder.head.weight" in made:
        return made
    table, rows = _by_rows(made["embedding.weight"]), _by_rows(made["decoder.clusters.weight"])
    if isinstance(table, Quantized) and isinstance(rows, Quantized):
        made["decoder.head.weight"] = Quantized(
            np.concatenate([table.values[: cutoffs[0]], rows.values]),
            np.concatenate([table.scale[: cutoffs[0]], rows.scale]),
        )
    else:
        made["decoder.head.weight"] = np.concatenate([np.asarray(table)[: cutoffs[0]], rows])
    for number, words in enumerate(clusters(_rows(table), cutoffs)):
        made[f"decoder.tail.{number}.1.weight"] = _part(table, slice(words.start, words.stop))
    return made


def _by_rows(stored: Stored) -> np.ndarray | Quantized:
    return from_tiles(stored) if isinstance(stored, Tiled) else stored


def _rows(stored: np.ndarray | Quantized) -> int:
    return len(stored.values if isinstance(stored, Quantized) else stored)


def _part(stored: np.ndarray | Quantized, rows: slice) -> Stored:
    if isinstance(stored, Quantized):
        return Quantized(stored.values[rows], stored.scale[rows])
    return stored[rows]
