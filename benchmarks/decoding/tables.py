"""The tables that a run prints, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Median and quartiles of what the turns measured."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray) -> Spread:
        """Of the values of all turns."""
        return cls(*(float(np.quantile(values, q)) for q in (0.5, 0.25, 0.75)))

    def show(self, digits: int = 0) -> str:
        """As ``median (low–high)``."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}–{self.high:,.{digits}f})"


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of two peers, turn by turn."""
    return Spread.of(np.asarray(above) / np.asarray(below))


def print_tables(result: dict[str, Any]) -> None:
    """All tables of a run."""
    about_machine(result["machine"])
    models = result["models"]
    steps(models)
    ratios(models)
    limits(models)
    public(models)
    together(models)
    scoring(models)
    memory(models)
    cold(result["cold"])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def about_machine(machine: dict[str, Any]) -> None:
    print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; Python "
        f"{machine['python']}, NumPy {machine['numpy']}, PyTorch {machine['torch']}, "
        f"ONNX Runtime {machine['onnxruntime']}.\n"
    )


def steps(models: dict[str, Any]) -> None:
    print("One step: a word in; the three likeliest next words with their probabilities, and the")
    print("new state, out. Microseconds, median (quartiles) of the turns.\n")
    columns = [(name, threads) for name in models for threads in (1, 2)]
    peers = models[columns[0][0]]["threads 2"]["microseconds"]
    rows = []
    for peer in peers:
        cells = []
        for name, threads in columns:
            taken = models[name][f"threads {threads}"]["microseconds"][peer]
            cells.append(Spread.of(taken).show())
        rows.append([peer, *cells])
    head = [f"{name}, {threads} thread{'s' * (threads > 1)}" for name, threads in columns]
    table(["", *head], rows)


def ratios(models: dict[str, Any]) -> None:
    print("How many times as fast as another Carousel's int8 is, with one thread and with two:\n")
    rows = []
    for name, measured in models.items():
        for threads in (1, 2):
            taken = measured[f"threads {threads}"]["microseconds"]
            ours = taken["Carousel int8"]
            others = [peer for peer in taken if peer.startswith(("PyTorch", "ONNX"))]
            cells = [ratio(taken[peer], ours).show(2) for peer in others]
            rows.append([f"{name}, {threads}", *cells])
    table(["model, threads", *others], rows)
    print("How far each one's log-probabilities are from PyTorch's in float32, at most:\n")
    peers = [peer for peer in taken if not peer.startswith("read")]
    rows = [
        [name, *(f"{measured['threads 1']['differs'][peer]:.1g}" for peer in peers)]
        for name, measured in models.items()
    ]
    table(["", *peers], rows)


def limits(models: dict[str, Any]) -> None:
    print("The limit: a plain read of as many bytes as a step reads of its weights, one thread.\n")
    rows = []
    for name, measured in models.items():
        taken = measured["threads 1"]["microseconds"]
        for dtype in ("float32", "bfloat16", "int8"):
            ours, read = taken[f"Carousel {dtype}"], taken[f"read {dtype}"]
            size = measured["about"][f"Carousel {dtype}"]["bytes_read"]
            speed = Spread.of(size / np.asarray(read) / 1e3)
            rows.append(
                [
                    f"{name}, {dtype}",
                    f"{size / 1e6:.2f}",
                    speed.show(1),
                    Spread.of(read).show(),
                    Spread.of(ours).show(),
                    ratio(ours, read).show(2),
                ]
            )
    head = ["model", "MB read", "GB/s of a plain read", "µs of it", "µs of a step", "times"]
    table(head, rows)


def public(models: dict[str, Any]) -> None:
    print("What people call, one thread, microseconds: `session.feed` of a word and")
    print("`session.next_words(k=3)`; `model.next_words(text, k=3)` on a text of 12 words.\n")
    rows = []
    for name, measured in models.items():
        for peer, taken in measured["public"].items():
            step, session, text = (taken[what] for what in ("step", "session", "text"))
            rows.append(
                [
                    f"{name}, {peer.removeprefix('Carousel ')}",
                    Spread.of(step).show(),
                    Spread.of(session).show(),
                    ratio(session, step).show(2),
                    Spread.of(text).show(),
                    ratio(text, step).show(1),
                ]
            )
    head = ["model", "engine's step", "session", "times the step", "12 words", "times the step"]
    table(head, rows)


def together(models: dict[str, Any]) -> None:
    print("Sessions that step together, one thread: thousands of words a second, and how many")
    print("times those of one session alone.\n")
    rows, counts = [], []
    for name, measured in models.items():
        for peer, by_count in measured["together"].items():
            counts = list(by_count)
            cells = [
                f"{Spread.of(np.divide(speeds, 1e3)).show(1)}, "
                f"{ratio(speeds, by_count[counts[0]]).median:.1f}×"
                for speeds in by_count.values()
            ]
            rows.append([f"{name}, {peer.removeprefix('Carousel ')}", *cells])
    table(["model", *map(str, counts)], rows)


def scoring(models: dict[str, Any]) -> None:
    print("Scoring a text, every word after all before it, one thread: words a second. PyTorch")
    print("runs its fused nn.LSTM over the whole text.\n")
    rows, peers = [], []
    for name, measured in models.items():
        peers = list(measured["scoring"])
        cells = [Spread.of(speeds).show() for speeds in measured["scoring"].values()]
        times = ratio(measured["scoring"]["Carousel float32"], measured["scoring"]["PyTorch eager"])
        rows.append([name, *cells, times.show(2)])
    table(["", *peers, "Carousel float32 / PyTorch"], rows)


def memory(models: dict[str, Any]) -> None:
    print("Resident memory of a process with the model, Python and libraries: megabytes, of which")
    print("no file backs (in parentheses). Last, the bytes of a session's state in Carousel.\n")
    rows, peers = [], []
    for name, measured in models.items():
        peers = list(measured["memory"])
        cells = [f"{all_ / 1e6:.0f} ({own / 1e6:.0f})" for all_, own in measured["memory"].values()]
        rows.append([name, *cells, f"{measured['about']['Carousel int8']['state_bytes']:,}"])
    table(["", *peers, "a session"], rows)


def cold(taken: dict[str, list[float]]) -> None:
    print("Whole processes, milliseconds:\n")
    rows = [[name, Spread.of(np.multiply(seconds, 1e3)).show()] for name, seconds in taken.items()]
    table(["", "median (quartiles)"], rows)
