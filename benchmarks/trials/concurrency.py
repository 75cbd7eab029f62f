"""Many threads on one model, and many processes on one folder and one cache."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import carousel
from carousel.errors import CarouselError
from carousel.lens.clamp import Clamp
from carousel.quantization import quantize
from carousel.storage.number_formats import cast_weights, to_float32
from carousel.text.cache import clear_cache
from trials.models import random_model, write_text
from trials.tally import Budget, Tally

CONTEXT = multiprocessing.get_context("spawn")
THREADS = 32


def try_concurrency(budget: Budget, tally: Tally) -> None:
    """Half of the time threads, half of it processes."""
    end = budget.left() / 2
    _try_threads(budget, tally, end)
    _try_processes(budget, tally)


def _try_threads(budget: Budget, tally: Tally, end: float) -> None:
    """Sessions, clamps, generation and changes of threads: as one thread alone, bit for bit."""
    while budget.left() > end:
        seed = budget.chance.randrange(1000)
        model = random_model(
            seed, budget.chance.choice(["lstm", "gru", "rnn"]), hidden_size=48, layers=2
        )
        tasks = [
            (budget.chance.randrange(4), " ".join(budget.chance.choices(_words(model), k=12)))
            for _ in range(THREADS)
        ]
        expected = [_answer(model, *task) for task in tasks]
        with ThreadPoolExecutor(THREADS) as threads:
            answers = [threads.submit(_answer, model, *task) for task in tasks * 2]
            for count in (2, 4, 1, 3) * 4:
                if model.model.decoder is not None:
                    model.model.decoder.threads = count
            for number, answer in enumerate(answers):
                kind = ("session", "clamp", "generation", "score")[tasks[number % THREADS][0]]
                same = np.array_equal(answer.result(), expected[number % THREADS])
                tally.add(f"threads, {kind}", None if same else "another answer than one thread's")


def _words(model: carousel.LanguageModel) -> list[str]:
    return model.tokenizer.tokens()[2:]


def _answer(model: carousel.LanguageModel, kind: int, text: str) -> Any:
    if kind == 0:
        session = model.session()
        for word in text.split():
            session.feed(word)
        return session.logits
    if kind == 1:
        with model.clamp([Clamp.freeze("h", units=[1, 2]), Clamp.scale("h", 0.5)]) as held:
            session = held.session()
            for word in text.split():
                session.feed(word)
            return session.logits
    if kind == 2:
        return model.generate(text, max_tokens=10, seed=1)
    return model.score(text).log_probabilities


def _try_processes(budget: Budget, tally: Tally) -> None:
    """Train, replace, quantize, evaluate, predict and clear the cache, all at once."""
    base = budget.folder
    text = write_text(base / "text.txt", budget.seed, words=600)
    for seed in (1, 2):
        random_model(seed).save(base / f"source-{seed}")
    sources = [carousel.load(base / f"source-{seed}") for seed in (1, 2)]
    (base / "known.txt").write_text(" ".join(word for s in sources for word in _words(s)) * 20)
    allowed = {
        source.tokenizer.tokens()[2]: source.evaluate(base / "known.txt").perplexity
        for source in sources
    }
    sources[0].save(base / "m")
    stop = CONTEXT.Event()
    queue = CONTEXT.Queue()
    roles = [_replace, _open, _open, _evaluate, _quantize, _clear, _train, _predict_trained]
    processes = [
        CONTEXT.Process(target=_work, args=(role, base, text, allowed, stop, queue))
        for role in roles
    ]
    for process in processes:
        process.start()
    time.sleep(max(1, budget.left()))
    stop.set()
    for _ in processes:
        counts, failures = queue.get()
        for kind, count in counts.items():
            tally.add(f"processes, {kind}", count=count)
        tally.failures += failures
    for process in processes:
        process.join()


def _work(role: Any, base: Path, text: Path, allowed: Any, stop: Any, queue: Any) -> None:
    counts: Counter[str] = Counter()
    failures: list[str] = []
    kind = role.__name__.strip("_").replace("_", " ")
    while not stop.is_set():
        try:
            failure = role(base, text, allowed, sum(counts.values()))
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        counts[kind] += 1
        if failure:
            failures.append(f"processes, {kind}: {failure}")
    queue.put((counts, failures))


def _replace(base: Path, text: Path, allowed: Any, turn: int) -> None:
    carousel.load(base / f"source-{turn % 2 + 1}").save(base / "m", force=True)


def _open(base: Path, text: Path, allowed: Any, turn: int) -> str | None:
    """The words and the weights are of one model: it predicts what that one does."""
    model = carousel.load(base / "m")
    word = model.tokenizer.tokens()[2]
    source = carousel.load(base / f"source-{list(allowed).index(word) + 1}")
    same = all(
        np.array_equal(source.model.weights[name], weight)
        for name, weight in model.model.weights.items()
    )
    return None if same else "one model's words with the other's weights"


def _evaluate(base: Path, text: Path, allowed: Any, turn: int) -> str | None:
    model = carousel.load(base / "m")
    perplexity = model.evaluate(base / "known.txt").perplexity
    expected = allowed[model.tokenizer.tokens()[2]]
    return None if perplexity == expected else f"{perplexity} for {expected}"


def _quantize(base: Path, text: Path, allowed: Any, turn: int) -> str | None:
    """The folder is quantized while it is replaced: its words and its weights are of one model."""
    quantize(base / "m", base / "quantized", "int8", force=True)
    model = carousel.load(base / "quantized")
    source = carousel.load(base / f"source-{list(allowed).index(model.tokenizer.tokens()[2]) + 1}")
    expected = cast_weights(
        {name: source.model.weights[name] for name in model.config.weight_shapes()}, "int8"
    )
    same = all(
        np.array_equal(to_float32(model.model.weights[name]), to_float32(weight))
        for name, weight in expected.items()
    )
    return None if same else "one model's words with the other's weights"


def _clear(base: Path, text: Path, allowed: Any, turn: int) -> None:
    clear_cache(Path(os.environ["CAROUSEL_CACHE"]))
    time.sleep(0.2)


def _train(base: Path, text: Path, allowed: Any, turn: int) -> None:
    from carousel.training.job import train_model

    settings = {"hidden_size": 8, "embedding_size": 8, "epochs": 0.5, "batch_size": 4, "bptt": 8,
                "device": "cpu", "threads": 1, "seed": turn}  # fmt: skip
    train_model([text], out=base / "trained", settings=settings, force=True)


def _predict_trained(base: Path, text: Path, allowed: Any, turn: int) -> str | None:
    if not (base / "trained").exists():
        time.sleep(0.1)
        return None
    try:
        carousel.load(base / "trained").next_words("w1 w2", k=1)
    except CarouselError as error:
        return str(error)
    return None
