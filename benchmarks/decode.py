"""One word at a time on a CPU: Carousel's decoder against PyTorch and ONNX Runtime.

    python benchmarks/decode.py [--quick] [--json] [--models keyboard,small]

Everything is measured in one run, in turns, each peer in a process of its own that sleeps while
it is not its turn. The tables are Markdown, medians over the turns with the first and the third
quartile. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from decoding.models import MODELS, write_models
from decoding.peers import PEERS, write_onnx
from decoding.tables import print_tables
from decoding.worker import Worker

CAROUSEL = ("Carousel float32", "Carousel bfloat16", "Carousel int8")
EXACT = ("Carousel float32", "PyTorch eager", "ONNX Runtime float32")
SESSIONS = (1, 8, 64, 512)
QUESTION = "krish likes pizza but his friend likes burger so his friend orders"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns")
    parser.add_argument("--json", action="store_true", help="print all turns as JSON")
    parser.add_argument("--models", default=",".join(MODELS), help="some of: %(default)s")
    given = parser.parse_args()
    names = given.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"no model {sorted(unknown)[0]!r}: there are {', '.join(MODELS)}")
    turns, seconds = (3, 0.03) if given.quick else (15, 0.1)
    result: dict[str, Any] = {"machine": describe_machine(), "models": {}}
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            say(f"{name}: writing its weights")
            folders = write_models(name, Path(place))
            write_onnx(folders["float32"])
            measured = {"sizes": dict(zip("EHLV", MODELS[name], strict=True))}
            result["models"][name] = measured
            for threads in (1, 2):
                with ExitStack() as stack:
                    say(f"{name}: {threads} thread{'s' * (threads > 1)}")
                    timings = measure(stack, folders, threads, turns, seconds)
                    measured[f"threads {threads}"] = timings
                    if threads == 1:
                        measured |= timings.pop("alone")
    say("cold start")
    result["cold"] = measure_cold_start(5 if given.quick else 20)
    if given.json:
        print(json.dumps(result))
    else:
        print_tables(result)


def measure(
    stack: ExitStack, folders: dict[str, Path], threads: int, turns: int, seconds: float
) -> dict[str, Any]:
    """All that is timed of one model with one number of threads; with one, more than that."""
    names = [name for name in PEERS if threads == 1 or not name.startswith("read")]
    workers = {
        name: stack.enter_context(Worker(name, folders[PEERS[name][1]], threads)) for name in names
    }
    peers = [name for name in names if not name.startswith("read")]
    predicted = {name: workers[name].ask("check", 8) for name in peers}
    timings: dict[str, Any] = {"differs": check(predicted)}
    steps: dict[str, list[float]] = {name: [] for name in names}
    for _ in take_turns(turns):
        for name, worker in workers.items():
            steps[name].append(worker.ask("time", seconds))
    timings["microseconds"] = steps
    if threads > 1:
        return timings
    alone: dict[str, Any] = {name: workers[name].ask("about") for name in CAROUSEL}
    alone = {"about": alone, "memory": {name: workers[name].ask("memory") for name in peers}}
    few = max(3, turns // 3)
    together = {name: {count: [] for count in SESSIONS} for name in CAROUSEL}
    scoring: dict[str, list[float]] = {name: [] for name in (*CAROUSEL, "PyTorch eager")}
    public: dict[str, dict[str, list[float]]] = {
        name: {"step": [], "session": [], "text": []} for name in CAROUSEL
    }
    log_probs = {}
    for _ in take_turns(few):
        for name in CAROUSEL:
            for what, question in (
                ("step", "time"), ("session", "time_session"), ("text", "time_text"),
            ):  # fmt: skip
                public[name][what].append(workers[name].ask(question, seconds))
            for count in SESSIONS:
                speed = workers[name].ask("time_together", count, seconds)
                together[name][count].append(speed)
        for name in scoring:
            speed, log_probs[name] = workers[name].ask("score", 256 if turns < 5 else 1000)
            scoring[name].append(speed)
    np.testing.assert_allclose(
        log_probs["Carousel float32"], log_probs["PyTorch eager"], rtol=1e-3, atol=1e-3
    )
    alone |= {"together": together, "scoring": scoring, "public": public}
    return timings | {"alone": alone}


def check(predicted: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> dict[str, float]:
    """That all float32 peers predict alike; how far each one's log-probabilities are from them."""
    differs = {}
    for name, predictions in predicted.items():
        pairs = list(zip(predictions, predicted[EXACT[1]], strict=True))
        differs[name] = max(float(np.abs(a[1] - b[1]).max()) for a, b in pairs)
        if name in EXACT and differs[name] > 1e-3:
            raise SystemExit(f"{name} does not predict what {EXACT[1]} does")
        if name in EXACT and any((a[0] != b[0]).any() and (a[1] != b[1]).any() for a, b in pairs):
            say(f"{name} orders words otherwise than {EXACT[1]}, within rounding")
    return differs


def measure_cold_start(turns: int) -> dict[str, list[float]]:
    """Seconds of whole processes: a prediction of the shipped model, and Python alone."""
    commands = {
        "carousel predict": [sys.executable, "-m", "carousel", "predict", QUESTION],
        "import numpy": [sys.executable, "-c", "import numpy"],
        "python": [sys.executable, "-c", "pass"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(turns + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:  # the first turn reads the disk
                taken[name].append(time.perf_counter() - start)
    return taken


def describe_machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "torch", "onnxruntime")},
    }


def take_turns(count: int) -> Iterator[int]:
    for turn in range(count):
        say(f"  turn {turn + 1} of {count}")
        yield turn


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
