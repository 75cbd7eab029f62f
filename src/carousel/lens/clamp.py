"""Holding a gate: interventions that last as long as their context and leave nothing behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from carousel.errors import LensError, UntouchedWarning
from carousel.inference.clamped import (
    Affine,
    Change,
    ClampedBackend,
    Freeze,
    Function,
    Intervention,
    Noise,
    Patch,
)
from carousel.inference.model import RecurrentLM
from carousel.lens.names import DERIVED, check_layer, find_name, find_word
from carousel.lens.trace import LINE_START, Trace
from carousel.storage.config import Config
from carousel.text.tokenizer import Tokenizer

How = Literal["set", "scale", "toward", "noise", "freeze", "mean", "patch", "function"]
HOWS: tuple[How, ...] = (
    "set", "scale", "toward", "noise", "freeze", "mean", "patch", "function",
)  # fmt: skip
Where = str | int | Sequence[str | int] | None
Value = float | Sequence[float] | np.ndarray | Trace | Sequence[Trace] | Callable[..., Any] | None


@dataclass(frozen=True)
class Clamp:
    """One intervention at a gate or state.

    The methods ``set``, ``scale``, ``toward``, ``noise``, ``freeze``, ``mean``, ``patch`` and
    ``function`` make one each. Called directly, ``how`` says which; without it a ``Trace`` as value
    means ``patch``, a function ``function``, and anything else ``set``.

    Args:
        name: a gate or state by its short or long name (``"forget"``), in every layer or in
            ``layer``; or with its layer (``"layers.0.forget"``).
        value: what ``how`` needs: a number, one for each unit, a trace, or a function.
        how: what is done.
        layer: the layer; None for all.
        at: where: a word, a position (0 is the line start, 1 the first word), a range of positions,
            or several of these; None for every word. A word of several tokens is held at its last
            one, when it is known.
        units: which units; None for all.
        source: for ``patch``, the position in the other run; None for the same one.
        seed: for ``noise``.
        strength: for ``toward``: 0 leaves the gate as it is, 1 sets it.

    >>> Clamp.set("forget", 1.0, at="friend")
    Clamp(name='forget', value=1.0, how='set', at='friend')
    """

    name: str
    value: Value = None
    how: How | None = None
    layer: int | None = None
    at: Where = None
    units: Sequence[int] | None = None
    source: int | None = None
    seed: int = 0
    strength: float | Sequence[float] | np.ndarray = 1.0

    def __repr__(self) -> str:
        fields = {
            name: value
            for name, value in vars(self).items()
            if not _is_default(value, type(self).__dataclass_fields__[name].default)
        }
        return f"Clamp({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    @property
    def kind(self) -> How:
        """``how``, or what the value's type implies."""
        if self.how is not None:
            return self.how
        if isinstance(self.value, Trace):
            return "patch"
        return "function" if callable(self.value) else "set"

    @classmethod
    def set(
        cls,
        name: str,
        value: float | Sequence[float] | np.ndarray,
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is ``value``: a number, or one for each unit. 0 is zero-ablation."""
        return cls(name, value, "set", layer, at, units)

    @classmethod
    def scale(
        cls,
        name: str,
        factor: float | Sequence[float] | np.ndarray,
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is multiplied by ``factor``: a number, or one for each unit."""
        return cls(name, factor, "scale", layer, at, units)

    @classmethod
    def toward(
        cls,
        name: str,
        target: float | Sequence[float] | np.ndarray,
        strength: float,
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate moves toward ``target``: ``(1 - strength) value + strength target``."""
        return cls(name, target, "toward", layer, at, units, strength=strength)

    @classmethod
    def noise(
        cls,
        name: str,
        deviation: float | Sequence[float] | np.ndarray,
        *,
        seed: int = 0,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """Normal noise of this standard deviation is added; the same at each reading."""
        return cls(name, deviation, "noise", layer, at, units, seed=seed)

    @classmethod
    def freeze(
        cls,
        name: str,
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is what it was at the word before."""
        return cls(name, None, "freeze", layer, at, units)

    @classmethod
    def mean(
        cls,
        name: str,
        traces: Trace | Sequence[Trace],
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is its mean over all words of a trace or of several (mean-ablation)."""
        return cls(name, traces, "mean", layer, at, units)

    @classmethod
    def patch(
        cls,
        name: str,
        trace: Trace,
        *,
        source: int | None = None,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is what it was in another run, at the same position or at ``source``.

        Activation patching: Vig et al. 2020 (arXiv:2004.12265).
        """
        return cls(name, trace, "patch", layer, at, units, source)

    @classmethod
    def function(
        cls,
        name: str,
        function: Callable[[np.ndarray], Any],
        *,
        layer: int | None = None,
        at: Where = None,
        units: Sequence[int] | None = None,
    ) -> Clamp:
        """The gate is what ``function`` makes of ``[b, n]``: the texts and units that are held."""
        return cls(name, function, "function", layer, at, units)


def _is_default(value: object, default: object) -> bool:
    # Arrays and traces are no defaults, and have an equality of their own.
    return value is default or (type(value) is type(default) is float and value == default)


@contextmanager
def hold(model: RecurrentLM, tokenizer: Tokenizer, *clamps: Clamp) -> Iterator[RecurrentLM]:
    """A model under ``clamps``, as a context; the model itself is never changed.

    Raises:
        LensError: a gate, layer, unit or word that does not exist; it lists what does.

    Warns:
        UntouchedWarning: at the end, for a clamp that changed nothing.
    """
    held = model.clamped([bind_clamp(model.config, tokenizer, clamp) for clamp in clamps])
    yield held
    warn_untouched(held, clamps)


def untouched(held: RecurrentLM, clamps: Sequence[Clamp]) -> list[Clamp]:
    """Those of ``clamps``, the last ones by which ``held`` is held, that have changed nothing."""
    if not clamps:
        return []
    assert isinstance(held.backend, ClampedBackend)
    counts = held.backend.touched[-len(clamps) :]
    return [clamp for clamp, count in zip(clamps, counts, strict=True) if not count]


def warn_untouched(held: RecurrentLM, clamps: Sequence[Clamp]) -> None:
    """Warn of clamps that have changed nothing."""
    for clamp in untouched(held, clamps):
        where = "any word" if clamp.at is None else f"{clamp.at!r}"
        warnings.warn(
            f"the clamp of {clamp.name} touched nothing: {where} was never read under it",
            UntouchedWarning,
            stacklevel=4,
        )


def bind_clamp(config: Config, tokenizer: Tokenizer, clamp: Clamp) -> Intervention:
    """Check a clamp against a model, and say it in names, positions and token ids.

    Raises:
        LensError: a gate, layer, unit or word that does not exist; it lists what does.
    """
    names = _names(config, clamp)
    H = config.hidden_size
    units: np.ndarray | None = None
    if clamp.units is not None:
        units = np.asarray(clamp.units, dtype=np.int64).reshape(-1)
        wrong = units[(units < 0) | (units >= H)]
        if len(wrong):
            raise LensError(f"there is no unit {wrong[0]}; there are 0 to {H - 1}")
    places = _places(clamp)
    words = tuple(_word_ids(tokenizer, place) for place in places if isinstance(place, str))
    positions = frozenset(place for place in places if isinstance(place, int))
    if any(position < 0 for position in positions):
        raise LensError(f"position {min(positions)} can't be known ahead: positions count from 0")
    if clamp.at is not None and not places:
        raise LensError("a clamp at no word at all; leave `at` out to hold every word")
    n = H if units is None else len(units)
    return Intervention(
        names=names,
        change=_change(clamp, names, units, n),
        units=units,
        positions=positions or None,
        words=words,
    )


def _places(clamp: Clamp) -> list[str | int]:
    if clamp.at is None:
        return []
    places = [clamp.at] if isinstance(clamp.at, str | int) else list(clamp.at)
    return [place if isinstance(place, str) else int(place) for place in places]


def _names(config: Config, clamp: Clamp) -> tuple[str, ...]:
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
    return tuple(f"layers.{number}.{short}" for number in layers)


def _word_ids(tokenizer: Tokenizer, word: str) -> tuple[int, ...]:
    if word == LINE_START:
        return (tokenizer.eol_id,)
    ids = tuple(tokenizer.encode(word))
    if not ids or tokenizer.unknown_id in ids:
        find_word(tokenizer.tokens(), tokenizer.normalize(word), "the vocabulary")
        raise LensError(f"{word!r} is no word that this model reads")
    return ids


def _change(
    clamp: Clamp, names: Sequence[str], units: np.ndarray | None, n: int
) -> Change | Freeze | Function:
    kind, value = clamp.kind, clamp.value
    if kind not in HOWS:
        raise LensError(f"how must be one of {', '.join(HOWS)}, not {kind!r}")
    if kind == "freeze":
        return Freeze()
    if kind == "function":
        if not callable(value):
            raise LensError("how='function' wants a function as value")
        return Function(value)
    if kind in ("patch", "mean"):
        return _from_traces(clamp, names, units)
    number = _numbers(kind, value, n)
    if kind == "set":
        return Affine(np.zeros(1, dtype=np.float32), number)
    if kind == "scale":
        return Affine(number, np.zeros(1, dtype=np.float32))
    if kind == "noise":
        return Noise(number, n, clamp.seed)
    strength = np.asarray(clamp.strength, dtype=np.float32)
    if not np.all((strength >= 0) & (strength <= 1)):
        raise LensError(f"strength must be 0 to 1, not {clamp.strength}")
    return Affine(1 - strength, strength * number)


def _numbers(kind: str, value: Any, n: int) -> np.ndarray:
    """One number, one for each unit ``[n]``, or one for each text and all units ``[B, 1]``."""
    try:
        number = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise LensError(f"{kind} wants a number as value, not {value!r}") from None
    if number.shape not in ((), (n,)) and not (number.ndim == 2 and number.shape[1] in (1, n)):
        raise LensError(f"{kind} wants one number, or one for each of {n} units")
    if not np.isfinite(number).all():
        raise LensError(f"{kind} wants finite numbers")
    return number


def _from_traces(clamp: Clamp, names: Sequence[str], units: np.ndarray | None) -> Change:
    value = clamp.value
    traces = [value] if isinstance(value, Trace) else value
    if (
        not isinstance(traces, Sequence)
        or not traces
        or not all(isinstance(trace, Trace) for trace in traces)
    ):
        raise LensError(f"how={clamp.kind!r} wants a trace as value")
    tables = {name: [_columns(trace, name, units) for trace in traces] for name in names}
    if clamp.kind == "mean":
        means = {name: np.concatenate(rows).mean(0) for name, rows in tables.items()}
        return Affine(np.zeros(1, dtype=np.float32), means)
    return Patch({name: rows[0] for name, rows in tables.items()}, clamp.source)


def _columns(trace: Any, name: str, units: np.ndarray | None) -> np.ndarray:
    values: np.ndarray = trace[name]
    return values if units is None else values[:, units]
