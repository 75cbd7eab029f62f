"""A trace in few numbers: means over units, the units that move most, and a word's own figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from carousel.lens.compare import Comparison
from carousel.lens.names import cell_of, check_layer, find_word
from carousel.lens.tokens import display_words, likeliest_tokens_at
from carousel.lens.trace import Trace


def is_signed(trace: Trace, name: str) -> bool:
    """Whether values of this short name may be below 0: those of candidates and states may."""
    return name not in cell_of(trace.config).sigmoid_gates


def mean_and_spread(trace: Trace, name: str, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over units of a gate or state at each word.

    Of values with either sign it is that of their size ``|value|``: the mean of the values
    themselves is near 0 and says nothing.

    Args:
        trace: the trace.
        name: a gate or state by its short name.
        layer: the layer.

    Returns:
        ``[T]`` and ``[T]``.
    """
    values = trace[name, layer]
    sizes = np.abs(values) if is_signed(trace, name) else values
    return sizes.mean(1), sizes.std(1)


def most_moved_units(values: np.ndarray, count: int) -> list[int]:
    """The units whose values go over the widest range in a text, the widest first.

    Args:
        values: ``[T, H]``; position 0, the line start, is left out.
        count: how many units.

    >>> most_moved_units(np.array([[9.0, 0.0], [0.0, 0.1], [0.0, 0.9]]), 1)
    [1]
    """
    read = values[1:] if len(values) > 1 else values
    order = np.argsort(-(read.max(0) - read.min(0)), kind="stable")
    return [int(unit) for unit in order[:count]]


def first_words(trace: Trace, count: int) -> Trace:
    """The trace of the first ``count`` words alone. It is exact: no word knows of later ones."""
    if len(trace) <= count:
        return trace
    return Trace(
        trace.config,
        trace.words[:count],
        trace.ids[:count],
        {point: values[:count] for point, values in trace.values.items()},
        None if trace.logits is None else trace.logits[:count],
        trace.model,
        trace.tokenizer,
        trace.text,
    )


@dataclass(frozen=True)
class CellMeans:
    """What one layer's cell carries at one word: means over units, of sizes where signed."""

    values: dict[str, float]
    """Each gate and state after this word, by short name."""
    before: dict[str, float]
    """The states before this word: 0 at the text's start."""
    keep: float | None
    """The mean size of ``f ⊙ c_{t-1}`` (GRU: ``z ⊙ h_{t-1}``); None without a belt."""
    write: float | None
    """The mean size of ``i ⊙ g`` (GRU: ``(1 - z) ⊙ n``); None without a belt."""
    squashed: float | None
    """The mean size of ``tanh(c)``; None without a cell state."""
    reset: float | None
    """The mean size of ``r ⊙ h_{t-1}``; None without a reset gate."""
    input: float | None
    """The mean size of the input: the embedding, or the ``h`` of the layer below; None without a
    model to look it up in."""
    input_size: int
    """The width of the input, ``E`` or ``H``."""
    hidden_size: int
    """The number of units ``H``."""

    def joined(self, state: float) -> float | None:
        """The mean size of a state ``[H]`` and the input, concatenated; None without the input."""
        if self.input is None:
            return None
        H, E = self.hidden_size, self.input_size
        return (state * H + self.input * E) / (H + E)


def measure_cell(trace: Trace, t: int, layer: int = -1) -> CellMeans:
    """The means that a cell's diagram shows, at the word at position ``t`` of one layer.

    Raises:
        LensError: no such layer.
    """
    config = trace.config
    layer = check_layer(config, layer)
    t = range(len(trace))[t]
    names = cell_of(config).names

    def mean(name: str, position: int) -> float:
        values = trace[name, layer][position]
        return float((np.abs(values) if is_signed(trace, name) else values).mean())

    def size(values: np.ndarray) -> float:
        return float(np.abs(values).mean())

    last_h = trace["h", layer][t - 1] if t else np.zeros(config.hidden_size)
    below: np.ndarray | None = None
    if layer:
        below = trace["h", layer - 1][t]
    elif trace.model is not None:
        below = trace.model.weights["embedding.weight"][trace.ids[t]]
    belt = cell_of(config).has_belt
    return CellMeans(
        values={name: mean(name, t) for name in names},
        before={name: mean(name, t - 1) if t else 0.0 for name in ("h", "c") if name in names},
        keep=size(trace["keep", layer][t]) if belt else None,
        write=size(trace["write", layer][t]) if belt else None,
        squashed=size(np.tanh(trace["c", layer][t])) if "c" in names else None,
        reset=size(trace["r", layer][t] * last_h) if "r" in names else None,
        input=None if below is None else size(below),
        input_size=config.hidden_size if layer else config.embedding_size,
        hidden_size=config.hidden_size,
    )


def summarize_trace(
    trace: Trace, units: int = 5, k: int = 5, last: int | None = None
) -> dict[str, Any]:
    """A trace in short, as plain data for JSON.

    Args:
        trace: the trace.
        units: how many of the most moved units are written out, for each gate and state.
        k: how many likely next tokens are listed after each word.
        last: how many words at the end are given; None for all.

    Returns:
        ``words``; ``tokens``, what was typed for each, its start and end in the text, and whether
        it is known (None where the trace does not know its text); ``next_words``; and for each of
        ``layers`` the ``gates`` (mean, spread and units by long name) and the ``belt`` ``[T, T]``
        (None without one). Where words are left out, ``words_before`` counts them, and each
        layer's ``belt_before`` ``[T]`` is what is left of their luggage.
    """
    before = 0 if last is None else max(0, len(trace) - last)
    layers = []
    for layer in range(trace.config.layers):
        gates = {}
        for short, long in cell_of(trace.config).names.items():
            values = trace[short, layer]
            means, spreads = mean_and_spread(trace, short, layer)
            gates[long] = {
                "mean": means[before:].tolist(),
                "spread": spreads[before:].tolist(),
                "units": {
                    str(unit): values[before:, unit].tolist()
                    for unit in most_moved_units(values, units)
                },
            }
        facts: dict[str, Any] = {"gates": gates, "belt": None}
        if cell_of(trace.config).has_belt:
            amounts = trace.belt(layer).amounts()[before:]
            facts["belt"] = amounts[:, before:].tolist()
            if before:
                facts["belt_before"] = amounts[:, :before].sum(1).tolist()
        layers.append(facts)
    best = [likeliest_tokens_at(trace, t, k) for t in range(before, len(trace))]
    summary = {
        "words": trace.words[before:],
        "tokens": [asdict(token) for token in trace.tokens[before:]] if trace.knows_text else None,
        "next_words": [[guess._asdict() for guess in row] for row in best],
        "layers": layers,
    }
    return {**summary, "words_before": before} if before else summary


# -- two aligned texts ---------------------------------------------------------------------------


def aligned_words(comparison: Comparison) -> tuple[list[str], list[str]]:
    """The words of both texts, a word for each pair; ``–`` where one has no counterpart."""
    first, second = display_words(comparison.first), display_words(comparison.second)
    return (
        ["–" if s is None else first[s] for s, _ in comparison.pairs],
        ["–" if t is None else second[t] for _, t in comparison.pairs],
    )


def compared_gates(comparison: Comparison) -> list[tuple[str, int, int]]:
    """What is compared, layer by layer: its name on a screen, and its gate and layer as indices."""
    config = comparison.first.config
    long = cell_of(config).names
    return [
        (f"{name} {long[name]}" + (f" {layer}" if config.layers > 1 else ""), gate, layer)
        for layer in range(config.layers)
        for gate, name in enumerate(comparison.names)
    ]


def percentage(share: float) -> str:
    """A share as a whole per cent, without a sign where it rounds to nothing.

    >>> percentage(-0.001), percentage(0.205)
    ('0%', '20%')
    """
    return f"{round(share, 2) + 0.0:.0%}"


# -- curves over the words, by which models are compared ---------------------------------------


def probability_before(trace: Trace) -> np.ndarray:
    """``[T]``: how likely each word was just before it came; NaN for the line start."""
    curve = np.full(len(trace), np.nan)
    curve[1:] = trace.probabilities[np.arange(len(trace) - 1), trace.ids[1:]]
    return curve


def probability_next(trace: Trace, word: str) -> np.ndarray:
    """``[T]``: how likely ``word`` is as the next word, after each word.

    Raises:
        LensError: the word is not in the vocabulary.
    """
    assert trace.tokenizer is not None  # a trace that has just been made has one
    id = find_word(trace.tokenizer.tokens(), word, "the vocabulary")[0]
    curve: np.ndarray = trace.probabilities[:, id]
    return curve


def luggage_left(trace: Trace, position: int, layer: int = -1) -> np.ndarray:
    """``[T]``: the share that is left of one word's luggage; NaN before the word.

    Raises:
        LensError: a plain RNN, which has no belt.
    """
    amounts = trace.belt(layer).amounts()[:, position]
    curve: np.ndarray = amounts / max(float(amounts[position]), 1e-12)
    curve[:position] = np.nan
    return curve


def state_change(trace: Trace) -> np.ndarray:
    """``[T]``: how far each word moved the last layer's state: mean over units of ``|h - h'|``."""
    h = trace["h", trace.config.layers - 1]
    curve: np.ndarray = np.abs(np.diff(h, axis=0, prepend=np.zeros_like(h[:1]))).mean(1)
    return curve
