"""Phrases: the units that are on together over a few words, and where else they are.

As in LSTMVis (Strobelt et al. 2018, arXiv:1606.07461): the units above a threshold over a stretch
of words, if so asked off just before or after it, are looked for in a whole corpus. The model reads
the corpus once (``index_states``; that pass costs what the model costs) and leaves one bit a unit
and token in a file of the cache, ``H/8`` bytes a token. Each search is then a scan of that file, in
blocks, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from carousel.errors import LensError, TextError
from carousel.inference.model import RecurrentLM
from carousel.lens.names import DERIVED, check_layer, find_name
from carousel.lens.state_file import ROWS, check_bits, key_of, open_bits, write_bits
from carousel.lens.trace import LINE_START, trace_text
from carousel.text.corpus import build_corpus, default_cache
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer

CONTEXT = 8
"""Words shown before and after a place; five times as many characters or byte pairs."""


@dataclass(frozen=True)
class Match:
    """A stretch of a corpus over which units of a phrase are on together."""

    start: int
    """Position of its first token in the corpus."""
    length: int
    """Tokens over which its units stay on."""
    units: list[int]
    """The units on over all of it."""
    line: int
    """Line of the corpus, from 1, counted on through all files."""
    before: str
    text: str
    after: str


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    units: list[int]
    """What it was for."""
    together: int
    """Tokens of the corpus at which every one of these units is on."""
    places: list[Match]
    """The best: by how many of the units are on, then the longest, then in the corpus's order."""

    def table(self) -> dict[str, object]:
        """As plain data, for JSON."""
        return asdict(self)


class StateIndex:
    """Which units are on after each token of a corpus; made by ``index_states``."""

    def __init__(
        self,
        model: RecurrentLM,
        tokenizer: Tokenizer,
        point: str,
        threshold: float,
        ids: np.ndarray,
        bits: np.ndarray,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.point = point
        """Of which gate or state: ``layers.0.h``."""
        self.threshold = threshold
        """A unit is on where its value is above this."""
        self.ids = ids
        """``[N]``: the corpus."""
        self.bits = bits
        """``[N, ⌈H/8⌉]`` of ``uint8``, as ``np.packbits`` packs a row of units."""

    def __repr__(self) -> str:
        return f"StateIndex({self.point} > {self.threshold:g}, {len(self.ids):,} tokens)"

    def units_of(
        self,
        text: str,
        words: tuple[int, int],
        *,
        off_before: bool = False,
        off_after: bool = False,
    ) -> list[int]:
        """The units on over words ``first`` to ``last`` of ``text``: counted from 1, both in.

        ``off_before`` leaves out those that were on at the word before already, ``off_after``
        those that are still on at the word after.

        Raises:
            LensError: no such words, or no unit is on over all of them.
        """
        trace = trace_text(self.model, self.tokenizer, text, only=[self.point], logits=False)
        first, last = words
        if not 1 <= first <= last < len(trace):
            raise LensError(
                f"there are no words {first} to {last}: the text has words 1 to {len(trace) - 1}"
            )
        if off_after and last + 1 == len(trace):
            raise LensError("no word comes after these: give a longer text")
        values = trace.values[self.point]
        lowest = values[first : last + 1].min(0)
        on = lowest > self.threshold
        if not on.any():
            raise LensError(
                f"no unit is above {self.threshold:g} over all of words {first} to {last}; the "
                f"most is {lowest.max():.2g}: lower the threshold, or take fewer words"
            )
        if off_before:
            on &= values[first - 1] <= self.threshold
        if off_after:
            on &= values[last + 1] <= self.threshold
        if not on.any():
            raise LensError("every unit that is on over these words is on beside them, too")
        units: list[int] = np.flatnonzero(on).tolist()
        return units

    def find_phrase(
        self,
        text: str,
        words: tuple[int, int],
        *,
        off_before: bool = False,
        off_after: bool = False,
        k: int = 10,
    ) -> SearchResult:
        """The places most like words ``first`` to ``last`` of ``text``; see ``find``.

        Raises:
            LensError: as ``units_of``.
        """
        units = self.units_of(text, words, off_before=off_before, off_after=off_after)
        length = words[1] - words[0] + 1
        return self.find(units, length, off_before=off_before, off_after=off_after, k=k)

    def find(
        self,
        units: Sequence[int],
        length: int = 1,
        *,
        off_before: bool = False,
        off_after: bool = False,
        k: int = 10,
    ) -> SearchResult:
        """The ``k`` best places where most of ``units`` are on together over ``length`` tokens.

        A place goes on, both ways, for as long as its units stay on. With ``off_before`` and
        ``off_after`` only those units of it count that are off just before the ``length`` tokens,
        or just after, and it ends there. Places do not overlap.

        Raises:
            LensError: no such unit, or none at all; a length or ``k`` below 1.
        """
        H = self.model.config.hidden_size
        wrong = [unit for unit in units if not 0 <= unit < H]
        if wrong:
            raise LensError(f"there is no unit {wrong[0]}; there are 0 to {H - 1}")
        if not len(units) or length < 1 or k < 1:
            raise LensError("give at least one unit, one token of length and one place to find")
        scan = _Scan(self.bits, H, units, length, off_before, off_after)
        together, starts = 0, list[int]()
        for first in range(0, len(self.ids), ROWS):
            best_starts, on = scan.best(first, min(len(self.ids), first + ROWS), k)
            starts += best_starts
            together += on
        places = []
        for start in starts:
            on_there = scan.units_at(start)
            low, high = scan.stretch(start, on_there)
            places.append((low, high, on_there))
        places.sort(key=lambda place: (-len(place[2]), place[0] - place[1], place[0]))
        kept = [places[i] for i in _apart([(low, high) for low, high, _ in places], k)]
        return SearchResult(
            sorted({int(unit) for unit in units}), together, [self._show(*place) for place in kept]
        )

    def _show(self, start: int, end: int, units: list[int]) -> Match:
        tokenizer, ids = self.tokenizer, self.ids
        around = CONTEXT if tokenizer.whole_words else 5 * CONTEXT
        before, text, after = (
            tokenizer.decode(ids[low:high].tolist()).replace("\n", LINE_START)
            for low, high in pairwise((max(0, start - around), start, end, end + around))
        )
        ends = sum(
            int((ids[row : min(row + ROWS, start)] == tokenizer.eol_id).sum())
            for row in range(0, start, ROWS)
        )
        return Match(start, end - start, units, ends + 1, before, text, after)


def index_states(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    files: Sequence[Path],
    *,
    name: str = "h",
    layer: int = -1,
    threshold: float = 0.3,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    cache: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> StateIndex:
    """Read ``files`` once through ``model`` and keep which units are on; or open what was kept.

    A unit is on where its gate or state ``name`` in ``layer`` is above ``threshold``. The file has
    ``H/8`` bytes a token; its key is model, text, name and threshold.
    ``on_progress(done, total)`` counts tokens read.

    Raises:
        LensError: no such gate or layer, a threshold that is no number, or a model under clamps.
        TextError: a file can't be read, or the cache can't be written.
    """
    short = find_name(model.config, name)
    if short in DERIVED:
        raise LensError(f"{short} is made of gates; index those, or the cell or hidden state")
    point = f"layers.{check_layer(model.config, layer)}.{short}"
    if not np.isfinite(threshold):
        raise LensError(f"a threshold must be a number, not {threshold}")
    if model.interventions:
        raise LensError("an index is of a model as it is: give the model without its clamps")
    corpus = build_corpus(
        files, tokenizer, encoding=encoding, encoding_errors=encoding_errors, cache=cache
    )
    ids = corpus.ids
    folder = cache or default_cache()
    path = folder / f"{key_of(model, tokenizer, point, threshold, ids)}.bits"
    width = -(-model.config.hidden_size // 8)
    try:
        bits = open_bits(path, len(ids), width)
        if bits is None:
            folder.mkdir(parents=True, exist_ok=True)
            mapped = write_bits(path, model, point, threshold, ids, width, on_progress)
            bits = open_bits(path, len(ids), width)
            if bits is None and mapped is not None:
                bits = check_bits(mapped, len(ids), width)
        if bits is None:
            raise TextError(f"{path} is not what was written: is the disk full or damaged?")
    except OSError as error:
        raise TextError(
            f"the states can't be kept in {folder}: {error.strerror or error}; "
            f"CAROUSEL_CACHE names another folder"
        ) from None
    return StateIndex(model, tokenizer, point, threshold, ids, bits)


class _Scan:
    """A search for some units, as bits of the few bytes of a row that hold them."""

    def __init__(
        self,
        bits: np.ndarray,
        hidden_size: int,
        units: Sequence[int],
        length: int,
        off_before: bool,
        off_after: bool,
    ) -> None:
        wanted = np.zeros(hidden_size, dtype=bool)
        wanted[list(units)] = True
        packed = np.packbits(wanted)
        self.bits = bits
        self.columns = np.flatnonzero(packed)
        self.mask = packed[self.columns]
        self.length = length
        self.off_before, self.off_after = off_before, off_after

    def rows(self, low: int, high: int) -> np.ndarray:
        """The units' bits in rows ``low`` to ``high``: ``[high - low, C]``."""
        unit_bits: np.ndarray = self.bits[low:high][:, self.columns] & self.mask
        return unit_bits

    def windows(self, first: int, last: int) -> np.ndarray:
        """The units on over ``length`` rows from each of rows ``first`` to ``last`` on, as bits.

        And off beside them where so asked; beyond the corpus everything is off. As many as fit.
        """
        low, high = max(0, first - 1), min(len(self.bits), last + self.length)
        rows = self.rows(low, high)
        n = max(0, len(rows) - self.length + 1)
        on = rows[:n].copy()
        for step in range(1, self.length):
            on &= rows[step : step + n]
        if self.off_before:
            on[1:] &= ~rows[: max(0, n - 1)]
        if self.off_after:
            on[: max(0, n - 1)] &= ~rows[self.length :]
        return on[first - low : last - low]

    def best(self, first: int, last: int, k: int) -> tuple[list[int], int]:
        """Where the ``k`` best windows that start in these rows do; rows with all units on.

        Windows in a row with the same units on are one, so that a long stretch counts once.
        """
        together = int((self.rows(first, last) == self.mask).all(1).sum())
        on = self.windows(first, last)
        if not len(on):
            return [], together
        starts = np.concatenate([[0], np.flatnonzero((on[1:] != on[:-1]).any(1)) + 1])
        ends = np.append(starts[1:], len(on)) + self.length - 1
        overlaps = np.bitwise_count(on[starts]).sum(1, dtype=np.int64)
        order = np.lexsort((starts, starts - ends, -overlaps))
        order = order[overlaps[order] > 0]
        runs = zip(starts[order].tolist(), ends[order].tolist(), strict=True)
        return [first + int(starts[order[i]]) for i in _apart(runs, k)], together

    def units_at(self, start: int) -> list[int]:
        """The units on over the window that starts at a row."""
        row = np.zeros(self.bits.shape[1], dtype=np.uint8)
        row[self.columns] = self.windows(start, start + 1)[0]
        units: list[int] = np.flatnonzero(np.unpackbits(row)).tolist()
        return units

    def stretch(self, start: int, units: Sequence[int]) -> tuple[int, int]:
        """From where to where these units stay on, around the window that starts at a row."""
        low, high = start, start + self.length
        here = _Scan(self.bits, 8 * self.bits.shape[1], units, 1, False, False)
        while not self.off_before and low > 0:
            on = (here.rows(max(0, low - ROWS), low) == here.mask).all(1)
            more = len(on) if on.all() else int(on[::-1].argmin())
            low -= more
            if more < len(on):
                break
        while not self.off_after and high < len(self.bits):
            on = (here.rows(high, high + ROWS) == here.mask).all(1)
            more = len(on) if on.all() else int(on.argmin())
            high += more
            if more < len(on):
                break
        return low, high


def _apart(spans: Iterable[tuple[int, int]], k: int) -> list[int]:
    """Which of ``spans``, best first, to keep so that none overlaps a better one: ``k`` at most."""
    kept: list[tuple[int, int]] = []
    kept_numbers = []
    for number, (low, high) in enumerate(spans):
        if all(high <= a or b <= low for a, b in kept):
            kept.append((low, high))
            kept_numbers.append(number)
            if len(kept_numbers) == k:
                break
    return kept_numbers
