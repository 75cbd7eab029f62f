"""A tied adaptive softmax under the names of one that is not tied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from carousel.adaptive_softmax import clusters
from carousel.storage.number_formats import Quantized, StoredWeight, Tiled, from_tiles


def untie(weights: Mapping[str, StoredWeight], cutoffs: Sequence[int]) -> dict[str, StoredWeight]:
    """Add to a tied adaptive softmax's weights the names that one that is not tied has.

    The clusters' weights are views of the embedding; the head's few rows are a copy. All other
    models' weights come back as they are.

    Args:
        weights: a model's weights by name.
        cutoffs: the first id of each cluster; see ``adaptive_softmax``.
    """
    untied = dict(weights)
    if "decoder.clusters.weight" not in untied or "decoder.head.weight" in untied:
        return untied
    embedding = _by_rows(untied["embedding.weight"])
    cluster_rows = _by_rows(untied["decoder.clusters.weight"])
    if isinstance(embedding, Quantized) and isinstance(cluster_rows, Quantized):
        untied["decoder.head.weight"] = Quantized(
            np.concatenate([embedding.values[: cutoffs[0]], cluster_rows.values]),
            np.concatenate([embedding.scale[: cutoffs[0]], cluster_rows.scale]),
        )
    else:
        head = np.asarray(embedding)[: cutoffs[0]]
        untied["decoder.head.weight"] = np.concatenate([head, cluster_rows])
    for number, ids in enumerate(clusters(embedding.shape[0], cutoffs)):
        untied[f"decoder.tail.{number}.1.weight"] = _take_rows(
            embedding, slice(ids.start, ids.stop)
        )
    return untied


def _by_rows(weight: StoredWeight) -> np.ndarray | Quantized:
    return from_tiles(weight) if isinstance(weight, Tiled) else weight


def _take_rows(weight: np.ndarray | Quantized, rows: slice) -> StoredWeight:
    if isinstance(weight, Quantized):
        return Quantized(weight.values[rows], weight.scale[rows])
    return weight[rows]
