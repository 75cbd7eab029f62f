"""How long looking takes: a trace, a clamp's before and after, on one core.

python benchmarks/lens.py

Prints the median of each, with the fastest and the slowest run. Models are random: what they
predict makes no difference to the time.
"""

import os

# One core: the libraries below read this when they are loaded.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import statistics
import time
from collections.abc import Callable

import numpy as np

from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.text.vocabulary import train_tokenizer

RUNS = 9
VOCABULARY = 30_000


def make_model(vocabulary: int, layers: int, size: int) -> LanguageModel:
    """A random LSTM over made-up words."""
    words = " ".join(f"w{number}" for number in range(vocabulary))
    tokenizer = train_tokenizer("whitespace", [words])
    config = Config("lstm", tokenizer.vocab_size, size, size, layers, tied=True)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.uniform(-0.1, 0.1, shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    return LanguageModel.from_weights(config, weights, tokenizer)


def measure(what: str, work: Callable[[], object]) -> None:
    """Run ``work`` a few times after a warm-up and print how long it took."""
    work()
    seconds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
    print(f"{what:<66} {1e3 * middle:7.1f} ms  ({1e3 * low:.1f} to {1e3 * high:.1f})")


def main() -> None:
    """Measure everything once."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    model = make_model(VOCABULARY, 2, 650)
    rng = np.random.default_rng(1)
    hundred, twenty = (
        " ".join(f"w{number}" for number in rng.integers(0, VOCABULARY, count))
        for count in (100, 20)
    )
    title = f"2 x 650 LSTM, {VOCABULARY:,} words"
    measure(
        f"{title}: trace of 100 words, all gates and distributions", lambda: model.trace(hundred)
    )
    trace = model.trace(hundred, logits=False)
    measure(f"{title}: the belt's account of 100 words", lambda: trace.belt().amounts())
    measure(
        f"{title}: a clamp, before and after, 20 words", lambda: model.effect(twenty, "forget=1")
    )
    shipped = LanguageModel.load()
    sentence = "krish likes pizza but his friend likes burger so his friend orders"
    measure("story model: trace of a sentence", lambda: shipped.trace(sentence))
    measure(
        "story model: a clamp, before and after",
        lambda: shipped.effect(sentence, "forget=1@friend", compare=("burger", "pizza")),
    )


if __name__ == "__main__":
    main()
