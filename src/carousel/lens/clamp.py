"""Holding a gate: interventions that last as long as their context and leave nothing behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from carousel.cells import Array, State
from carousel.errors import LensError, UntouchedWarning
from carousel.lens.names import DERIVED, check_layer, find_name, find_word
from carousel.lens.trace import Trace
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.unroll import EditAt

How = Literal["set", "scale", "noise", "freeze", "mean", "patch", "function"]
HOWS: tuple[How, ...] = ("set", "scale", "noise", "freeze", "mean", "patch", "function")
Where = str | int | Sequence[str | int] | None
Value = float | Sequence[float] | np.ndarray | Trace | Sequence[Trace] | Callable[..., Any] | None


@dataclass(frozen=True)
class Clamp:
    """One intervention at a gate or state.

    ``name`` is a gate or state by its short or long name (``"forget"``), or a point
    (``"layers.0.forget"``).

    ``how`` is one of

    - ``set``: to ``value`` (a number, or one for each unit); zero-ablation is 0
    - ``scale``: times ``value``
    - ``noise``: plus normal noise of standard deviation ``value``, from ``seed``
    - ``freeze``: what it was at the word before
    - ``mean``: its mean over a trace or several (mean-ablation)
    - ``patch``: what it was in another run, a ``Trace``, at the same position or at ``source``
      (activation patching)
    - ``function``: what ``value(array)`` returns, for ``[B, H]`` or the chosen units of it

    A ``Trace`` as value means ``patch``, a function ``function``; else ``set`` is understood.
    """

    name: str
    value: Value = None
    how: How | None = None
    layer: int | None = None
    """The layer; None for all."""
    at: Where = None
    """A word, a position (0 is the line start), or several; None for every word."""
    units: Sequence[int] | None = None
    """Which units; None for all."""
    source: int | None = None
    """``patch``: the position in the other run; None for the same."""
    seed: int = 0

    @property
    def kind(self) -> How:
        """``how``, or what the value's type implies."""
        if self.how is not None:
            return self.how
        if isinstance(self.value, Trace):
            return "patch"
        return "function" if callable(self.value) else "set"


@dataclass
class _Bound:
    """A clamp checked against a model: what it matches, and what it makes."""

    clamp: Clamp
    points: frozenset[str]
    words: tuple[tuple[int, ...], ...]
    positions: frozenset[int]
    units: np.ndarray | None
    make: Callable[[str, int, np.ndarray], Any]
    touched: int = 0
    last: dict[str, np.ndarray] = field(default_factory=dict)

    def mask(self, ids: np.ndarray, from_start: bool) -> np.ndarray:
        """``[T, B]`` of bool: where it acts."""
        if not self.words and not self.positions:
            return np.ones(ids.shape, dtype=bool)
        made = np.zeros(ids.shape, dtype=bool)
        if from_start:
            made[[at for at in self.positions if at < len(ids)]] = True
        for word in self.words:
            for start in range(len(ids) - len(word) + 1):
                hit = (ids[start : start + len(word)] == np.array(word)[:, None]).all(0)
                made[start : start + len(word)] |= hit
        return made


class Held(LanguageModel):
    """A model whose gates are held: the same weights, and the same methods, under clamps.

    Positions count from the start of a line that is read from a zero state; words act wherever they
    are read.
    """

    def __init__(self, model: LanguageModel, clamps: Sequence[Clamp]) -> None:
        self.__dict__.update(model.__dict__)
        self.clamps = list(clamps)
        earlier: list[_Bound] = model.bound if isinstance(model, Held) else []
        self.bound: list[_Bound] = [*earlier, *(bind(model, clamp) for clamp in clamps)]

    def hidden(
        self, ids: np.ndarray, state: State, edit: EditAt | None = None
    ) -> tuple[np.ndarray, State]:
        """As ``LanguageModel.hidden``; ``edit`` sees what the clamps have made."""
        # Which words are held must be known by word; a line's start is known by its zero state.
        from_start = not any(np.any(part) for part in state)
        masks = [bound.mask(ids, from_start) for bound in self.bound]

        def held(point: str, t: int, value: Array) -> Array:
            for bound, mask in zip(self.bound, masks, strict=True):
                if point in bound.points:
                    value = _apply(bound, mask[t], point, t, value)
            return value if edit is None else edit(point, t, value)

        return LanguageModel.hidden(self, ids, state, held)

    def watch(
        self, ids: np.ndarray, state: State, points: Sequence[str]
    ) -> tuple[dict[str, np.ndarray], np.ndarray, State]:
        """As ``LanguageModel.watch``, as it is held."""
        clamps = self._constants(ids, state)
        if self.decoder is None or clamps is None:
            return self.record(ids, state, points)
        from carousel.engine.watch import read_traced

        return read_traced(self.decoder, ids, state, points, clamps)

    def _constants(
        self, ids: np.ndarray, state: State
    ) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
        """What is held where, by point, if every clamp sets constants; None if one does more."""
        if any(bound.clamp.kind != "set" for bound in self.bound):
            return None
        from_start = not any(np.any(part) for part in state)
        shape = (*ids.shape, self.config.hidden_size)
        made: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for bound in self.bound:
            rows = bound.mask(ids, from_start)
            units = slice(None) if bound.units is None else bound.units
            here = np.zeros(shape, dtype=bool)
            here[..., units] = rows[..., None]
            constant = np.asarray(bound.clamp.value, dtype=np.float32)
            for point in bound.points:
                mask, values = made.setdefault(
                    point, (np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.float32))
                )
                mask |= here
                full = np.zeros(shape, dtype=np.float32)
                full[..., units] = constant
                values[here] = full[here]
            bound.touched += int(rows.sum()) * len(bound.points)
        return {point: (1.0 - mask, values) for point, (mask, values) in made.items()}

    def untouched(self) -> list[Clamp]:
        """The clamps that have changed nothing so far."""
        return [bound.clamp for bound in self.bound if not bound.touched]

    def warn_untouched(self) -> None:
        """Warn of clamps that met none of their words."""
        for clamp in self.untouched():
            where = "any word" if clamp.at is None else f"{clamp.at!r}"
            warnings.warn(
                f"the clamp of {clamp.name} touched nothing: {where} was never read under it",
                UntouchedWarning,
                stacklevel=3,
            )


@contextmanager
def hold(model: LanguageModel, *clamps: Clamp) -> Iterator[Held]:
    """A model under ``clamps``, as a context; the model itself is never changed.

    Raises:
        LensError: a gate, layer, unit or word that does not exist; it lists what does.

    Warns:
        UntouchedWarning: at the end, for a clamp that changed nothing.
    """
    held = Held(model, clamps)
    yield held
    held.warn_untouched()


def bind(model: LanguageModel, clamp: Clamp) -> _Bound:
    """Check a clamp against a model.

    Raises:
        LensError: a gate, layer, unit or word that does not exist; it lists what does.
    """
    config = model.config
    short, layers = _place(config, clamp)
    H = config.hidden_size
    units: np.ndarray | None = None
    if clamp.units is not None:
        units = np.asarray(clamp.units, dtype=np.int64).reshape(-1)
        wrong = units[(units < 0) | (units >= H)]
        if len(wrong):
            raise LensError(f"there is no unit {wrong[0]}; there are 0 to {H - 1}")
    words: list[tuple[int, ...]] = []
    positions: set[int] = set()
    at = clamp.at
    for place in [] if at is None else [at] if isinstance(at, str | int) else at:
        if isinstance(place, str):
            words.append(_word_ids(model, place))
        elif place < 0:
            raise LensError(f"position {place} can't be known ahead; positions count from 0")
        else:
            positions.add(int(place))
    if at is not None and not words and not positions:
        raise LensError("a clamp at no word at all; leave `at` out to hold every word")
    points = frozenset(f"layers.{layer}.{short}" for layer in layers)
    return _Bound(
        clamp, points, tuple(words), frozenset(positions), units, _maker(clamp, points, units, H)
    )


def parse_clamp(text: str) -> Clamp:
    """The clamp that ``forget=1@friend`` writes: gate, ``=`` to set or ``*`` to scale, a number,
    and where (words or positions with commas between; every word if left out).

    Raises:
        LensError: it is not written so.
    """
    setting, _, where = text.partition("@")
    sign = "=" if "=" in setting else "*"
    name, found, number = setting.partition(sign)
    try:
        if not found or not name:
            raise ValueError
        value = float(number)
    except ValueError:
        raise LensError(
            f"{text!r} is no clamp: write GATE=VALUE@WORD, as forget=1@friend, or GATE*FACTOR@WORD"
        ) from None
    at: list[str | int] = [int(w) if w.isdecimal() else w for w in where.split(",") if w]
    return Clamp(name.strip(), value, "set" if sign == "=" else "scale", at=at or None)


def _place(config: Config, clamp: Clamp) -> tuple[str, list[int]]:
    name, layer = clamp.name, clamp.layer
    if name.startswith("layers."):
        number, _, name = name.removeprefix("layers.").partition(".")
        if not number.isdecimal() or layer not in (None, int(number)):
            raise LensError(f"{clamp.name!r} names no layer, or another than layer={layer}")
        layer = int(number)
    short = find_name(config, name)
    if short in DERIVED:
        raise LensError(f"{short} is made of gates: hold those (forget, input, candidate)")
    layers = range(config.layers) if layer is None else [check_layer(config, layer)]
    return short, list(layers)


def _word_ids(model: LanguageModel, word: str) -> tuple[int, ...]:
    tokenizer = model.tokenizer
    if word == "⏎":
        return (tokenizer.eol_id,)
    ids = tuple(tokenizer.encode(word))
    if not ids or tokenizer.unknown_id in ids:
        find_word(tokenizer.tokens(), tokenizer.normalize(word), "the vocabulary")
        raise LensError(f"{word!r} is no word that this model reads")
    return ids


def _maker(
    clamp: Clamp, points: frozenset[str], units: np.ndarray | None, H: int
) -> Callable[[str, int, np.ndarray], Any]:
    """``make(point, t, value [b, n]) -> value``: the new values of the rows and units held."""
    kind, value = clamp.kind, clamp.value
    if kind not in HOWS:
        raise LensError(f"how must be one of {', '.join(HOWS)}, not {kind!r}")
    n = H if units is None else len(units)
    if kind == "freeze":
        return lambda point, t, now: now  # the value before is at hand in _apply
    if kind == "function":
        if not callable(value):
            raise LensError("how='function' wants a function as value")
        return lambda point, t, now: value(now)
    if kind in ("patch", "mean"):
        traces = [value] if isinstance(value, Trace) else value
        if not isinstance(traces, Sequence) or not all(isinstance(x, Trace) for x in traces):
            raise LensError(f"how={kind!r} wants a trace as value")
        return _from_traces(clamp, traces, points, units)  # type: ignore[arg-type]
    try:
        number = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise LensError(f"{kind} wants a number as value, not {value!r}") from None
    if number.shape not in ((), (n,)):
        raise LensError(f"{kind} wants one number, or one for each of {n} units")
    if not np.isfinite(number).all():
        raise LensError(f"{kind} wants finite numbers")
    if kind == "set":
        return lambda point, t, now: np.broadcast_to(number, now.shape)
    if kind == "scale":
        return lambda point, t, now: now * number
    rng = np.random.default_rng(clamp.seed)
    return lambda point, t, now: now + number * rng.normal(size=now.shape).astype(now.dtype)


def _from_traces(
    clamp: Clamp, traces: Sequence[Trace], points: frozenset[str], units: np.ndarray | None
) -> Callable[[str, int, np.ndarray], Any]:
    chosen = slice(None) if units is None else units
    tables = {point: [trace[point][:, chosen] for trace in traces] for point in points}
    if clamp.kind == "mean":
        means = {point: np.concatenate(rows).mean(0) for point, rows in tables.items()}
        return lambda point, t, now: np.broadcast_to(means[point], now.shape)

    def patched(point: str, t: int, now: np.ndarray) -> np.ndarray:
        rows = tables[point][0]
        at = t if clamp.source is None else clamp.source
        if not -len(rows) <= at < len(rows):
            raise LensError(f"the other run has no word {at}: it has {len(rows)}")
        return np.broadcast_to(rows[at], now.shape)

    return patched


def _apply(bound: _Bound, rows: np.ndarray, point: str, t: int, value: np.ndarray) -> np.ndarray:
    """``value [B, H]`` with the rows and units that are held replaced."""
    frozen = bound.clamp.kind == "freeze"
    if rows.any():
        made = value.copy()
        where = np.ix_(rows, np.arange(value.shape[1]) if bound.units is None else bound.units)
        # Before the first word there is nothing to freeze: it stays.
        source = bound.last.get(point, value) if frozen and t else value
        made[where] = bound.make(point, t, source[where])
        bound.touched += int(rows.sum())
        value = made
    if frozen:
        bound.last[point] = value
    return value
