"""The memory span: how much a prediction depends on each earlier word.

Two measures, for any cell, the plain RNN too, whose state has no account as ``lens.belt`` gives it:

- the gradient of the prediction with respect to each earlier word's embedding (what vanishes over
  distance in Hochreiter 1991, Bengio et al. 1994, doi:10.1109/72.279181, and Pascanu et al. 2013,
  arXiv:1211.5063): what a small change there would do;
- the change when the word is replaced by another: what a real change does.

The gradient is exact: one backward pass in NumPy through the recurrence, in float64, at the cost of
about one reading of the text. The pointwise derivatives of each cell stand in ``_back_*``, a few
lines each; automatic differentiation of ``cells.py`` gives the same and tests them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.cells import GRU, LSTM, Array, Weights, split
from carousel.errors import LensError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import take_sequences
from carousel.lens.names import cell_of, find_word
from carousel.lens.trace import LINE_START, show_token
from carousel.predict.word_index import word_index
from carousel.softmax import softmax
from carousel.text.tokenizer import Tokenizer
from carousel.unroll import initial_state, unroll

COLUMNS = 256
"""Replaced texts that are read side by side: enough for large products, and bounded."""
BLOCK = 64
"""Words that these are read at a time."""


@dataclass(frozen=True)
class Saliency:
    """What the prediction after a text owes to each of its words. Position 0 is the line start."""

    words: list[str]
    """``T`` of them."""
    compared: tuple[str, ...]
    """The word whose log-probability was measured, or the two whose logits were subtracted."""
    score: float
    """That log-probability (nats) or difference of logits, at the text's end."""
    gradient: np.ndarray
    """``[T, E]``: of the score with respect to each word's embedding."""
    change: np.ndarray | None
    """``[T]``: ``KL(as it is ‖ replaced)`` of the next-word distribution in nats, a mean over
    replacements; None where none was asked for."""

    @property
    def reach(self) -> np.ndarray:
        """``[T]``: the length of each word's gradient."""
        lengths: np.ndarray = np.linalg.norm(self.gradient, axis=1)
        return lengths

    @property
    def distance(self) -> np.ndarray:
        """``[T]``: how many words before the predicted one each word stands; the last is at 1."""
        return np.arange(len(self.words), 0, -1)


def measure_saliency(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    of: str | tuple[str, str] | None = None,
    *,
    replacements: int = 0,
    seed: int = 0,
) -> Saliency:
    """How much the prediction after ``text`` owes to each word of it.

    Args:
        model: the model, not one that is held by clamps.
        tokenizer: its tokenizer.
        text: the text.
        of: a word, whose log-probability is measured; two, whose logits are subtracted; None for
            the likeliest next word.
        replacements: by how many random words each word is replaced in turn; 0 for none.
        seed: of these words.

    Raises:
        LensError: a word that is not in the vocabulary, a model under clamps, or several lines for
            a model that reads each as a text of its own.
    """
    if not model.config.carry_state and "\n" in text:
        raise LensError("this model reads each line as a text of its own: give one line")
    ids = np.array([tokenizer.eol_id, *tokenizer.encode(text)])
    tokens = tokenizer.tokens()
    given = () if of is None else (of,) if isinstance(of, str) else of
    chosen = [find_word(tokens, word, "the vocabulary")[0] for word in given]
    if not chosen:
        hidden = model.read(ids[:, None], model.initial_state()).hidden[-1, 0]
        chosen = [int(model.logits(hidden).argmax())]
    against = np.array(chosen[1:]) if len(chosen) > 1 else None
    score, gradient = embedding_gradients(model, ids[:, None], np.array(chosen[:1]), against)
    change = None
    if replacements:
        rng = np.random.default_rng(seed)
        change = replacement_changes(model, tokenizer, ids, replacements, rng)
    return Saliency(
        words=[LINE_START, *(show_token(tokens[i]) for i in ids[1:])],
        compared=tuple(tokens[i] for i in chosen),
        score=float(score[0]),
        gradient=gradient[:, 0],
        change=change,
    )


def embedding_gradients(
    model: RecurrentLM, ids: np.ndarray, word: np.ndarray, against: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Scores ``[B]`` after ``ids [T, B]``, and their gradients ``[T, B, E]``, in float64.

    The score is the log-probability of ``word [B]`` after the last id, or with ``against [B]`` the
    difference of the two logits; the gradient is with respect to the embedding of each id.

    Raises:
        LensError: the model is held by clamps (a gate that is held has no gradient), or decodes by
            an adaptive softmax.
    """
    if model.interventions:
        raise LensError("a gate that is held has no gradient: give the model without its clamps")
    if model.config.cutoffs:
        raise LensError("no gradients through an adaptive softmax; replacements tell the change")
    config, rows = model.config, np.arange(ids.shape[1])
    weights = {name: array.astype(np.float64) for name, array in model.weights.items()}
    layers = [Weights(*(None if w is None else w.astype(np.float64) for w in layer))
              for layer in model.layers]  # fmt: skip
    inputs, values = [weights["embedding.weight"][ids]], []
    for layer in layers:
        recorded: dict[str, list[np.ndarray]] = {name: [] for name in cell_of(config).names}

        def record(name: str, t: int, value: Array, recorded: Any = recorded) -> Array:
            recorded[name.rpartition(".")[2]].append(value)
            return value

        like = inputs[0]
        state = initial_state(model.cell, 1, ids.shape[1], config.hidden_size, like)
        outputs, _ = unroll(model.cell, [layer], inputs[-1], state, record)
        inputs.append(outputs)
        values.append({name: np.stack(steps) for name, steps in recorded.items()})
    decoder = weights["embedding.weight" if config.tied else "decoder.weight"]
    projection = weights.get("projection.weight")
    read = inputs[-1][-1] if projection is None else inputs[-1][-1] @ projection.T
    logits = read @ decoder.T + weights["decoder.bias"]
    if against is None:
        p = softmax(logits)
        score = np.log(p[rows, word])
        d_read = decoder[word] - p @ decoder
    else:
        score = logits[rows, word] - logits[rows, against]
        d_read = decoder[word] - decoder[against]
    d_outputs = np.zeros_like(inputs[-1])
    d_outputs[-1] = d_read if projection is None else d_read @ projection
    for layer, layer_values, x in zip(layers[::-1], values[::-1], inputs[-2::-1], strict=True):
        d_outputs = _back_through(model.cell, layer, layer_values, d_outputs)
        assert d_outputs.shape == x.shape
    return score, d_outputs


def replacement_changes(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    ids: np.ndarray,
    replacements: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """``[T]``: how the prediction after ``ids [T]`` changes when each id is replaced by another.

    ``KL(as it is ‖ replaced)`` of the distribution after the last id, in nats, a mean over
    ``replacements`` random words (of a model of characters or byte pairs: tokens), each other than
    the one that stood there. What stands before the replaced word is read once for all.
    """
    T = len(ids)
    words = np.flatnonzero(word_index(tokenizer).mask)
    if not tokenizer.whole_words or len(words) < 2:
        words = np.arange(tokenizer.eol_id + 1, model.config.vocab_size)
    if len(words) < 2:
        raise LensError("a vocabulary of one word has none to replace it by")
    drawn = rng.integers(len(words) - 1, size=(T, replacements))
    # Drawn among all but one: the word itself gives way to the one left out.
    drawn = words[np.where(words[drawn] == ids[:, None], len(words) - 1, drawn)]
    logits, _ = _read_on(model, ids[:, None], model.initial_state())
    as_it_is = softmax(logits.astype(np.float64))
    changes = np.zeros(T)
    state = model.initial_state()
    size = max(1, COLUMNS // replacements)
    for first in range(0, T, size):
        here = min(size, T - first)
        # A column for each replaced word and replacement, all read from the chunk's first word on.
        columns = np.repeat(ids[first:, None], here * replacements, axis=1)
        replaced = np.repeat(np.arange(here), replacements)
        columns[replaced, np.arange(len(replaced))] = drawn[first : first + here].ravel()
        wide = take_sequences(state, np.zeros(len(replaced), dtype=np.int64))
        logits, _ = _read_on(model, columns, wide)
        other = softmax(logits.astype(np.float64))
        kl = (as_it_is * (np.log(as_it_is + 1e-300) - np.log(other + 1e-300))).sum(1)
        changes[first : first + here] = kl.reshape(here, replacements).mean(1)
        state = model.read(ids[first : first + here, None], state).state
    return changes


def _read_on(model: RecurrentLM, ids: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
    """Logits ``[B, V]`` after ``ids [T, B]``, read in blocks so that memory stays bounded."""
    for first in range(0, len(ids), BLOCK):
        reading = model.read(ids[first : first + BLOCK], state)
        state = reading.state
    return model.logits(reading.hidden[-1]), state


# -- backwards through the recurrence, cell by cell ------------------------------------------------
#
# Each step takes the gradients of this word's state (d_h, d_c) and gives those of the
# pre-activations, stacked as the weights are, and of the state before. A sigmoid s has the
# derivative s (1 - s), a tanh t has 1 - t².

Step = tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]
"""Pre-activations from the input; from the hidden state; h before (apart from these); c before."""


def _back_through(
    cell: Any, weights: Weights, values: dict[str, np.ndarray], d_outputs: np.ndarray
) -> np.ndarray:
    """Gradients of one layer's outputs ``[T, B, H]`` to those of its inputs ``[T, B, E]``."""
    T, B, H = d_outputs.shape
    step = _back_lstm if isinstance(cell, LSTM) else _back_gru if isinstance(cell, GRU) else None
    none = np.zeros((1, B, H))
    before: dict[str, np.ndarray] = {
        name: np.concatenate([none, values[name][:-1]]) for name in ("h", "c") if name in values
    }
    if isinstance(cell, GRU) and cell.reset_after:
        # What the reset gate scales: R_n h + b_hn.
        bias = 0 if weights.bias_hh is None else weights.bias_hh[2 * H :]
        before["n"] = before["h"] @ weights.weight_hh[2 * H :].T + bias
    d_h, d_c = np.zeros((B, H)), np.zeros((B, H))
    d_x = np.zeros((T, B, len(cell.stacked) * H))
    for t in reversed(range(T)):
        d_h = d_h + d_outputs[t]
        now = {name: array[t] for name, array in values.items()}
        was = {name: array[t] for name, array in before.items()}
        if step is None:
            a = d_h * (1 - now["h"] ** 2)
            from_x, from_h, d_h = [a], [a], np.zeros_like(d_h)
        else:
            from_x, from_h, d_h, d_c = step(cell, weights, now, was, d_h, d_c)
        d_x[t] = np.concatenate(from_x, axis=1)
        stacked = np.concatenate(from_h, axis=1)
        d_h = d_h + stacked @ weights.weight_hh[: stacked.shape[1]]
    d_inputs: np.ndarray = d_x @ weights.weight_ih
    return d_inputs


def _back_gru(cell: GRU, weights: Weights, now: Any, was: Any, d_h: Any, d_c: Any) -> Step:
    r, z, n, h = now["r"], now["z"], now["n"], was["h"]
    a_n = d_h * (1 - z) * (1 - n**2)
    a_z = d_h * (h - n) * z * (1 - z)
    kept = d_h * z
    if cell.reset_after:
        a_r = a_n * was["n"] * r * (1 - r)
        return [a_r, a_z, a_n], [a_r, a_z, a_n * r], kept, d_c
    d_rh = a_n @ weights.weight_hh[2 * h.shape[1] :]
    a_r = d_rh * h * r * (1 - r)
    return [a_r, a_z, a_n], [a_r, a_z], kept + d_rh * r, d_c


def _back_lstm(cell: LSTM, weights: Weights, now: Any, was: Any, d_h: Any, d_c: Any) -> Step:
    i, f, g, o, c = now["i"], now["f"], now["g"], now["o"], was["c"]
    peep = split(weights.weight_ch, len(cell.stacked) - 1) if cell.peephole else None
    tanh_c = np.tanh(now["c"])
    a_o = d_h * tanh_c * o * (1 - o)
    d_c = d_c + d_h * o * (1 - tanh_c**2)
    if peep is not None:
        d_c = d_c + a_o * peep[-1]
    a_g = d_c * i * (1 - g**2)
    d_i, d_f = d_c * g, d_c * c
    d_before = d_c * f
    # Coupled gates are one: what goes to f comes off i.
    a_i = (d_i - d_f if cell.coupled else d_i) * i * (1 - i)
    a_f = d_f * f * (1 - f)
    if peep is not None:
        d_before = d_before + a_i * peep[0]
        if not cell.coupled:
            d_before = d_before + a_f * peep[1]
    gates = [a_i, a_g, a_o] if cell.coupled else [a_i, a_f, a_g, a_o]
    return gates, gates, np.zeros_like(d_h), d_before
