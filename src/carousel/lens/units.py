"""Units that react to a label: chosen on one half of the texts, judged on the other half.

A label says of every row of values (a word of a text, say) whether something is the case there:
the context switches, the subject is plural, one is inside quotation marks. With hundreds of units
some will go with any label by chance; what counts is how the chosen ones do on texts that had no
part in the choice, next to units drawn at random and to labels that were shuffled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.errors import LensError
from carousel.inference.model import RecurrentLM
from carousel.lens.clamp import Clamp, hold
from carousel.lens.trace import Trace
from carousel.text.tokenizer import Tokenizer

LEFT_OUT = -1
"""The label of a word that takes no part."""


def gather(
    traces: Sequence[Trace], name: str, labels: Sequence[np.ndarray], layer: int = -1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that ``find_units`` takes, from traces and a label for each of their words.

    Args:
        traces: the texts read.
        name: a gate or state, long or short (``"forget"``).
        labels: one array ``[T]`` a trace: 1 where the label holds, 0 where not, -1 to leave out.
        layer: which layer; the last by default.

    Returns:
        Values ``[N, H]``, labels ``[N]`` of bool, and groups ``[N]``: which trace each row is of.

    Raises:
        LensError: a label that is not one for each word of its trace.
    """
    if len(traces) != len(labels):
        raise LensError(f"{len(traces)} traces, but labels for {len(labels)}")
    values, flags, groups = [], [], []
    for number, (trace, label) in enumerate(zip(traces, labels, strict=True)):
        marks = np.asarray(label).astype(np.int64)
        if marks.shape != (len(trace),):
            raise LensError(f"trace {number} has {len(trace)} words, but {marks.size} labels")
        layers = trace.config.layers
        taken = marks != LEFT_OUT
        values.append(trace[name, layer + layers if layer < 0 else layer][taken])
        flags.append(marks[taken] == 1)
        groups.append(np.full(int(taken.sum()), number))
    return np.concatenate(values), np.concatenate(flags), np.concatenate(groups)


def effect_sizes(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Hedges' ``g`` of each unit, ``[H]``: how far apart its two means are, in its own spread.

    ``g = J (mean_1 - mean_0) / s``, with ``s`` the pooled standard deviation of both groups and
    ``J = 1 - 3 / (4 (N - 2) - 1)`` against the bias of small groups (Hedges 1981, "Distribution
    theory for Glass's estimator of effect size and related estimators"). A unit that never moves
    has 0; one that tells the groups apart without any spread has an infinite ``g``.

    Args:
        values: ``[N, H]``.
        labels: ``[N]`` of bool.

    Raises:
        LensError: fewer than two rows with the label, or without.
    """
    x, positive = _checked(values, labels)
    return np.asarray(_hedges(x, positive[None].astype(np.float64))[0])


def separations(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The AUC of each unit, ``[H]``: how often a row with the label lies above one without.

    ``P(x_1 > x_0) + ½ P(x_1 = x_0)``, from the ranks' sum (Mann & Whitney 1947): 0.5 tells nothing,
    1 and 0 tell the two apart wholly.

    Args:
        values: ``[N, H]``.
        labels: ``[N]`` of bool.

    Raises:
        LensError: fewer than two rows with the label, or without.
    """
    x, positive = _checked(values, labels)
    return np.asarray(_areas(_ranks(x), positive[None].astype(np.float64))[0])


@dataclass(frozen=True)
class SelectedUnits:
    """The units found; all but ``chosen_effect`` is from the half that did not choose them."""

    units: np.ndarray
    """``[k]``: their numbers, the strongest of the choosing half first."""
    chosen_effect: np.ndarray
    """``[k]``: Hedges' ``g`` on the half that chose them."""
    effect: np.ndarray
    """``[k]``: Hedges' ``g`` on the other half."""
    auc: np.ndarray
    """``[k]``: the AUC on the other half."""
    p_units: np.ndarray
    """``[k]``: the chance that the best of all units does as well on shuffled labels (maxT of
    Westfall & Young 1993: corrected for the number of units)."""
    separation: float
    """Their mean AUC, each turned the way it was chosen: 0.5 is chance, 1 is perfect."""
    shuffled: np.ndarray
    """``[shuffles]``: ``separation`` of units chosen by shuffled labels."""
    random: np.ndarray
    """``[draws]``: ``separation`` of units drawn at random, turned like those that are sought."""
    judged: np.ndarray
    """``[N]`` of bool: which rows did not choose."""

    @property
    def p_shuffled(self) -> float:
        """How likely shuffled labels give such a ``separation``; ``(1 + as good) / (1 + all)``."""
        return float((1 + (self.shuffled >= self.separation).sum()) / (1 + len(self.shuffled)))

    @property
    def p_random(self) -> float:
        """How likely as many units drawn at random separate as well."""
        return float((1 + (self.random >= self.separation).sum()) / (1 + len(self.random)))

    def table(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "units": self.units.tolist(),
            # JSON has no infinity.
            "effect": [float(x) if np.isfinite(x) else None for x in self.effect],
            "auc": self.auc.tolist(),
            "p_units": self.p_units.tolist(),
            "separation": self.separation,
            "shuffled_95": [float(x) for x in np.quantile(self.shuffled, [0.025, 0.5, 0.975])],
            "random_95": [float(x) for x in np.quantile(self.random, [0.025, 0.5, 0.975])],
            "p_shuffled": self.p_shuffled,
            "p_random": self.p_random,
        }


def find_units(
    values: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    count: int = 10,
    falling: bool | None = None,
    shuffles: int = 1000,
    draws: int = 1000,
    seed: int = 0,
) -> SelectedUnits:
    """The ``count`` units that go most with a label.

    The rows are cut into halves; the units of the largest effect in one are judged in the other.
    Labels are shuffled ``shuffles`` times over all rows, within each half; the rows must be
    exchangeable for that: of a running text, take words that lie far apart. It takes what
    ``gather`` gives: ``find_units(*gather(traces, "forget", labels))``.

    Args:
        values: ``[N, H]`` of any gate or state.
        labels: ``[N]`` of bool.
        groups: ``[N]``: rows of one group (a text, or all texts that tell the same) stay in one
            half, so that both halves share nothing. Each row by itself if None.
        count: how many units.
        falling: True for units that are lower where the label holds, False for higher, None for
            either.
        shuffles: how many times labels are shuffled.
        draws: how many times units are drawn at random.
        seed: of halves, shuffles and draws.

    Raises:
        LensError: more units than there are, or a half with fewer than two rows of either kind.
    """
    x, positive = _checked(values, labels)
    H = x.shape[1]
    if not 0 < count <= H:
        raise LensError(f"can't choose {count} of {H} units")
    rng = np.random.default_rng(seed)
    if groups is not None and np.shape(groups) != (len(x),):
        raise LensError(f"groups must have one entry for each of the {len(x)} rows")
    first = halves(len(x) if groups is None else groups, rng)
    for half in (first, ~first):
        _checked(x[half], positive[half])

    # Row 0 is the labels as they are, the others shuffled: one product ranks and sums them all.
    def with_shuffled(half: np.ndarray) -> np.ndarray:
        true = positive[half].astype(np.float64)
        return np.stack([true, *(rng.permutation(true) for _ in range(shuffles))])

    choosing, judging = with_shuffled(first), with_shuffled(~first)
    g_first = _hedges(x[first], choosing)
    g_second = _hedges(x[~first], judging)
    area = _areas(_ranks(x[~first]), judging)

    sign = {True: -1.0, False: 1.0, None: 0.0}[falling]
    strength = sign * g_first if sign else np.abs(g_first)
    way = np.full_like(g_first, sign) if sign else np.where(g_first < 0, -1.0, 1.0)
    turned = 0.5 + way * (area - 0.5)
    best = np.argsort(-strength, axis=1, kind="stable")[:, :count]
    separation = np.take_along_axis(turned, best, axis=1).mean(1)
    chosen = best[0]
    largest = np.abs(g_second[1:]).max(1)
    drawn = [rng.choice(H, count, replace=False) for _ in range(draws)]
    return SelectedUnits(
        units=chosen,
        chosen_effect=g_first[0, chosen],
        effect=g_second[0, chosen],
        auc=area[0, chosen],
        p_units=np.array(
            [(1 + (largest >= abs(g)).sum()) / (1 + shuffles) for g in g_second[0, chosen]]
        ),
        separation=float(separation[0]),
        shuffled=separation[1:],
        random=np.array([turned[0, units].mean() for units in drawn]),
        judged=~first,
    )


def halves(groups: int | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``[N]`` of bool: which rows are in the first half; whole groups stay together."""
    if isinstance(groups, int):
        groups = np.arange(groups)
    names, which = np.unique(groups, return_inverse=True)
    first = np.zeros(len(names), dtype=bool)
    first[rng.permutation(len(names))[: len(names) // 2]] = True
    chosen: np.ndarray = first[which]
    return chosen


@dataclass(frozen=True)
class Ablation:
    """What becomes of a measure when the found units are held, and when others are."""

    before: np.ndarray
    """Nothing held: what was measured, one number or several ``[...]``."""
    found: np.ndarray
    """``[...]``: the found units held."""
    random: np.ndarray
    """``[draws, ...]``: as many other units, drawn at random, held in the same way."""

    @property
    def p_random(self) -> np.ndarray:
        """``[...]``: how likely random units move it as far, ``(1 + as far) / (1 + draws)``."""
        as_far = np.abs(self.random - self.before) >= np.abs(self.found - self.before)
        return np.asarray((1 + as_far.sum(0)) / (1 + len(self.random)))

    def table(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {
            "before": self.before.tolist(),
            "found": self.found.tolist(),
            "random_mean": self.random.mean(0).tolist(),
            "random_range": [self.random.min(0).tolist(), self.random.max(0).tolist()],
            "p_random": self.p_random.tolist(),
        }


def ablate_units(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    clamp: Clamp,
    measure: Callable[[RecurrentLM], float | np.ndarray],
    *,
    draws: int = 20,
    seed: int = 0,
) -> Ablation:
    """Hold the found units (``clamp.units``), then as many others, and measure each time.

    Any clamp will do: zero- or mean-ablation of a state, a gate held open at one word.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        clamp: what is done, with the found units in ``units``.
        measure: from a model to a number or several: accuracies, a mean difference in logits.
        draws: how many times others are drawn; never any of the found ones.
        seed: of the draws.

    Raises:
        LensError: no units in the clamp, or too few others to draw from.

    Warns:
        UntouchedWarning: for a clamp that changed nothing.
    """
    if clamp.units is None:
        raise LensError("the clamp names no units: there is nothing to set against random ones")
    chosen = np.unique(np.asarray(clamp.units, dtype=np.int64))
    others = np.setdiff1d(np.arange(model.config.hidden_size), chosen)
    if len(chosen) > len(others):
        raise LensError(f"only {len(others)} other units to draw {len(chosen)} from")
    rng = np.random.default_rng(seed)

    def held(units: np.ndarray) -> np.ndarray:
        with hold(model, tokenizer, dataclasses.replace(clamp, units=units.tolist())) as changed:
            return np.asarray(measure(changed), dtype=np.float64)

    return Ablation(
        before=np.asarray(measure(model), dtype=np.float64),
        found=held(np.asarray(clamp.units, dtype=np.int64)),
        random=np.array(
            [held(rng.choice(others, len(chosen), replace=False)) for _ in range(draws)]
        ),
    )


def _checked(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.asarray(values, dtype=np.float64)
    positive = np.asarray(labels, dtype=bool)
    if x.ndim != 2 or positive.shape != x.shape[:1]:
        raise LensError(f"values [N, H] and labels [N] are wanted, not {x.shape}, {positive.shape}")
    for count, which in ((positive.sum(), "with"), ((~positive).sum(), "without")):
        if count < 2:
            raise LensError(f"only {count} rows {which} the label; at least 2 are needed")
    return x, positive


def _hedges(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``[S, H]``: Hedges' g for each of ``labels [S, N]`` (0 or 1), all of the same count."""
    # Centred, so that the difference of two large squares does not lose the digits that matter.
    x = x - x.mean(0)
    n = len(x)
    n_1 = labels.sum(1)[:, None]
    n_0 = n - n_1
    sum_1 = labels @ x
    mean_1, mean_0 = sum_1 / n_1, -sum_1 / n_0
    within = (x * x).sum(0) - n_1 * mean_1**2 - n_0 * mean_0**2
    # What rounding leaves of no spread at all is none.
    within[within < 1e-12 * (x * x).sum(0)] = 0
    apart = mean_1 - mean_0
    correction = 1 - 3 / (4 * (n - 2) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        g = correction * apart / np.sqrt(within / (n - 2))
    g[np.isnan(g)] = 0
    return np.asarray(g)


def _ranks(x: np.ndarray) -> np.ndarray:
    """``[N, H]``: each column's ranks from 1, equal values sharing the mean of theirs."""
    n, H = x.shape
    order = np.argsort(x, axis=0, kind="stable")
    ordered = np.take_along_axis(x, order, axis=0)
    fresh = np.ones((n, H), dtype=bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    rows = np.arange(n)[:, None]
    begins = np.maximum.accumulate(np.where(fresh, rows, 0), axis=0)
    # A run ends before the next begins: the same, read from the end.
    last = np.ones((n, H), dtype=bool)
    last[:-1] = fresh[1:]
    ends = np.minimum.accumulate(np.where(last, rows, n)[::-1], axis=0)[::-1]
    ranks = np.empty((n, H))
    np.put_along_axis(ranks, order, (begins + ends) / 2 + 1, axis=0)
    return ranks


def _areas(ranks: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``[S, H]``: the AUC for each of ``labels [S, N]``, all of the same count."""
    n_1 = labels.sum(1)[:, None]
    n_0 = len(ranks) - n_1
    return np.asarray((labels @ ranks - n_1 * (n_1 + 1) / 2) / (n_1 * n_0))
