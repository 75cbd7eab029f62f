"""Numbers at the edge: the engine against ``cells.py`` on every instruction set, and its drift."""

from __future__ import annotations

import contextlib

import numpy as np

from carousel.cells import CELLS
from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.inference.model import RecurrentLM
from carousel.storage.config import Config
from carousel.storage.number_formats import MAX_WEIGHT, cast_weights, to_float32
from trials.tally import Budget, Tally

SCALES = {
    "usual": 0.5,
    "denormal": 1e-41,
    "tiny": 1e-20,
    "saturated": 1e3,
    "huge": 1e10,
    "largest": MAX_WEIGHT / 8,
}
"""Standard deviations of the weights, times the root of a layer's width: so that a text is not
chaos, in which the last digit decides."""
TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-5, "int8": 0.05}
"""Of hidden values, which are between -1 and 1; int8 rounds activations, too."""
DRIFT_WORDS = 1_000_000


def try_numbers(budget: Budget, tally: Tally) -> None:
    """Weights of every size on every instruction set; then a long text."""
    end = budget.left() / 2
    while budget.left() > end:
        for isa in instruction_sets():
            _try_extremes(isa, budget, tally)
            _try_not_finite(isa, budget, tally)
    _try_drift(budget, tally)


def _try_extremes(isa: str, budget: Budget, tally: Tally) -> None:
    cell = budget.chance.choice(sorted(CELLS))
    dtype = budget.chance.choice(sorted(TOLERANCE))
    scale = budget.chance.choice(sorted(SCALES))
    sizes = [budget.chance.randint(1, 70) for _ in range(3)]
    config = Config(cell, sizes[0] + 1, sizes[1], sizes[2], budget.chance.randint(1, 2), False,
                    dtype=dtype)  # fmt: skip
    rng = np.random.default_rng(budget.chance.randrange(2**32))
    deviation = SCALES[scale] / np.sqrt(max(sizes))
    weights = {
        name: np.clip(rng.normal(scale=deviation, size=shape), -MAX_WEIGHT, MAX_WEIGHT).astype(
            np.float32
        )
        for name, shape in config.weight_shapes().items()
    }  # fmt: skip
    stored = cast_weights(weights, dtype)
    kind = f"{isa}, {scale}"
    decoder = Decoder(config, stored, isa=isa)
    reference = RecurrentLM(
        config, {name: to_float32(weight) for name, weight in stored.items()}, backend="numpy"
    )
    ids = rng.integers(0, config.vocab_size, (12, 3))
    hidden, _ = decoder.read(ids, decoder.initial_state(3))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = reference.read(ids, reference.initial_state(3)).hidden
    failure = None
    if not np.isfinite(hidden).all() or not np.isfinite(expected).all():
        failure = f"{cell} {dtype}: not finite (engine {np.isfinite(hidden).all()})"
    elif scale in ("usual", "denormal", "tiny"):
        # Beyond these a sum near 0 decides between 0 and 1, and rounding decides the sum.
        difference = float(np.abs(hidden - expected).max())
        if difference > TOLERANCE[dtype]:
            failure = f"{cell} {dtype}: {difference} apart"
    tally.add(kind, failure)


def _try_not_finite(isa: str, budget: Budget, tally: Tally) -> None:
    """One weight or one value of a state that is not finite, or too large, is refused."""
    sizes = [budget.chance.randint(1, 40) for _ in range(3)]
    config = Config(budget.chance.choice(sorted(CELLS)), sizes[0] + 1, *sizes[1:], 1, False)
    rng = np.random.default_rng(budget.chance.randrange(2**32))
    weights = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    bad = np.float32(budget.chance.choice([np.nan, -np.nan, np.inf, -np.inf, 1e37, -1e37]))
    name = budget.chance.choice(sorted(weights))
    changed = {**weights, name: weights[name].copy()}
    changed[name].flat[rng.integers(changed[name].size)] = bad
    believed = None
    with contextlib.suppress(ValueError):
        Decoder(config, changed, isa=isa)
        believed = f"{config.cell}: {bad} in {name} is believed"
    tally.add(f"{isa}, a weight that is not finite", believed)
    decoder = Decoder(config, weights, isa=isa)
    state = decoder.initial_state(3)
    state.flat[rng.integers(state.size)] = bad if not np.isfinite(bad) else np.nan
    believed = None
    with contextlib.suppress(ValueError):
        decoder.step([0, 0, 0], state)
        believed = f"{config.cell}: a state with {bad} is believed"
    tally.add(f"{isa}, a state that is not finite", believed)


def _try_drift(budget: Budget, tally: Tally) -> None:
    """The engine and ``cells.py`` read a long text, each from its own state."""
    config = Config("lstm", 50, 16, 16, 1, False)
    rng = np.random.default_rng(budget.seed)
    weights = {
        name: rng.normal(scale=0.5, size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    engine, reference = (RecurrentLM(config, weights, backend=b) for b in ("engine", "numpy"))
    states = [engine.initial_state(), reference.initial_state()]
    worst, words, block = 0.0, 0, 5000
    while words < DRIFT_WORDS and budget.left() > 0:
        ids = rng.integers(0, config.vocab_size, (block, 1))
        readings = [lm.read(ids, s) for lm, s in zip((engine, reference), states, strict=True)]
        states = [reading.state for reading in readings]
        worst = max(worst, float(np.abs(readings[0].hidden - readings[1].hidden).max()))
        words += block
    print(f"drift: {worst:.2g} apart at most over {words:,} words", flush=True)
    tally.add("words of drift", None if worst < 1e-4 else f"{worst} apart", count=words)
