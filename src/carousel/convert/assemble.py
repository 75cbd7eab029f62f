"""The parts of a foreign model put together: the configuration and weights of a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carousel.convert.parts import Adaptive, Ends
from carousel.convert.recurrent import Recurrent
from carousel.convert.vocabulary import ABSENT
from carousel.errors import ConvertError
from carousel.model import LanguageModel
from carousel.storage.config import Config

NEVER = -1e4
"""The decoder's bias for a token that is added: its probability is 0 to the last bit."""


class Imported(NamedTuple):
    """A model that was taken over, and what was decided on the way, one line each."""

    model: LanguageModel
    notes: tuple[str, ...]


def assemble(
    recurrent: Recurrent, ends: Ends, rows: Sequence[int]
) -> tuple[Config, dict[str, np.ndarray]]:
    """The configuration and the weights of a model folder.

    Args:
        recurrent: the recurrent layers.
        ends: what stands before and after them.
        rows: for each token of the folder's tokenizer the row that it had, or ``ABSENT``.

    Raises:
        ConvertError: parts whose sizes do not go together.
    """
    projection = _product(ends.projection, recurrent.outer)
    adaptive = None if ends.adaptive is None else _move_head(ends.adaptive, rows)
    config = Config(
        cell=recurrent.cell,
        vocab_size=len(rows),
        embedding_size=recurrent.input_size,
        hidden_size=recurrent.hidden_size,
        layers=len(recurrent.layers),
        tied=ends.decoder is None and adaptive is None,
        projection_size=0 if projection is None else len(projection),
        biases=recurrent.biases,
        cutoffs=() if adaptive is None else _cutoffs(adaptive),
        tail_sizes=() if adaptive is None else tuple(len(inner) for inner, _ in adaptive.tails),
    )
    arrays = {"embedding.weight": _move(ends.embedding, rows, 0.0)}
    for number, layer in enumerate(recurrent.layers):
        arrays |= {f"layers.{number}.{name}": weight for name, weight in layer.items()}
    if projection is not None:
        arrays["projection.weight"] = projection
    if adaptive is None:
        arrays |= _decoder(ends, rows)
    elif ends.projection_bias is not None:
        raise ConvertError(
            "the projection before the adaptive softmax has a bias, which the clusters' words "
            "have no place for"
        )
    else:
        arrays |= _adaptive_decoder(adaptive)
    wrong = {n for n, w in arrays.items() if w.shape != config.weight_shapes().get(n)}
    if wrong:
        name = min(wrong)
        raise ConvertError(
            f"{name} comes out with shape {list(arrays[name].shape)}, which does not go with the "
            f"other sizes"
        )
    return config, arrays


def _decoder(ends: Ends, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """The decoder's weights: none of its own where it is tied to the embedding."""
    bias = np.zeros(len(ends.embedding)) if ends.bias is None else ends.bias.astype(np.float64)
    if ends.projection_bias is not None:
        # W (P h + p) + b = W P h + (W p + b)
        reader = ends.embedding if ends.decoder is None else ends.decoder
        bias = bias + reader @ ends.projection_bias.astype(np.float64)
    arrays = {"decoder.bias": _move(bias, rows, NEVER)}
    if ends.decoder is not None:
        arrays["decoder.weight"] = _move(ends.decoder, rows, 0.0)
    return arrays


def _move_head(adaptive: Adaptive, rows: Sequence[int]) -> Adaptive:
    """The adaptive softmax with the head's words in their new order, and those that are added.

    Raises:
        ConvertError: the unknown word or the end of a line is not in the head.
    """
    words, added = adaptive.head_words, sum(row == ABSENT for row in rows)
    if max(rows[:2]) >= words:
        raise ConvertError(
            f"the unknown word and the end of a line must be among the {words} frequent words of "
            f"the adaptive softmax"
        )
    head_rows = rows[: words + added]
    bias = np.zeros(len(adaptive.head), np.float32) if adaptive.bias is None else adaptive.bias
    return Adaptive(
        np.concatenate([_move(adaptive.head[:words], head_rows, 0.0), adaptive.head[words:]]),
        np.concatenate([_move(bias[:words], head_rows, NEVER), bias[words:]]),
        adaptive.tails,
    )


def _cutoffs(adaptive: Adaptive) -> tuple[int, ...]:
    sizes = [len(outer) for _, outer in adaptive.tails]
    return tuple(adaptive.head_words + sum(sizes[:number]) for number in range(len(sizes)))


def _adaptive_decoder(adaptive: Adaptive) -> dict[str, np.ndarray]:
    assert adaptive.bias is not None  # _move_head made one
    arrays = {"decoder.head.weight": adaptive.head, "decoder.head.bias": adaptive.bias}
    for number, pair in enumerate(adaptive.tails):
        for half, matrix in enumerate(pair):
            arrays[f"decoder.tail.{number}.{half}.weight"] = matrix
    return arrays


def _product(outer: np.ndarray | None, inner: np.ndarray | None) -> np.ndarray | None:
    """Two projections, one after the other, as one."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    product: np.ndarray = (outer.astype(np.float64) @ inner).astype(np.float32)
    return product


def _move(given: np.ndarray, rows: Sequence[int], added: float) -> np.ndarray:
    """``[V, ...]``: the rows in their new order; those that are added hold one value."""
    index = np.asarray(rows)
    moved: np.ndarray = given[np.maximum(index, 0)].astype(np.float32)
    moved[index == ABSENT] = added
    return moved
