"""Training on a CPU: Carousel against PyTorch's plain recipe.

    python benchmarks/train.py --text TRAIN --valid VALID [--turns 3] [--race-only | --no-race]
                               [--plot FILE] [--json FILE]

First words/s and peak memory, in turns, each contestant in a process of its own; then a race on
the text to a validation perplexity, same sizes, optimizer, rates and batches for both. ``TRAIN``
and ``VALID`` are read by white space (WikiText-2's files, say), and by characters for the
character model. Tables are Markdown; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from carousel.errors import TextError
from carousel.text.corpus import encode_pieces
from carousel.text.files import find_files, read_pieces
from carousel.text.vocabulary import train_tokenizer

SIZES = {"2×200": (2, 200), "2×650": (2, 650)}
BATCHES = {"20×35": (20, 35), "64×70": (64, 70)}
PLAIN = "plain PyTorch"
WAYS: dict[str, dict[str, Any]] = {
    "Carousel": {},
    "full softmax": {"softmax": "full"},
    "full, float32": {"softmax": "full", "precision": "float32"},
}
COMMON = {
    "cell": "lstm",
    "tied": True,
    "dropout": 0.2,
    "clip": 0.25,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "warmup": 0.02,
    "patience": 0,
}
RACE = COMMON | {
    "layers": 2,
    "hidden_size": 200,
    "embedding_size": 200,
    "batch": 20,
    "bptt": 35,
    "optimizer": "sgd",
    "learning_rate": 20.0,
    "embedding_std": 0.058,
    "dropout": 0.0,
    "epochs": 2.5,
}
"""Sizes, batches, rate and clipping of PyTorch's word_language_model, and the spread of its start:
evenly between -0.1 and 0.1 is a standard deviation of 0.058. In so few epochs dropout only delays.
"""
TARGET = 150.0
"""The validation perplexity that ends the race."""
NAMES = {"adamw": "AdamW", "sgd": "SGD"}
SHOWN = (300.0, 250.0, 200.0, 175.0, TARGET)
SECONDS = 2.0
THREADS = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--text", required=True, help="the text to train on")
    parser.add_argument("--valid", required=True, help="the text to validate on")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--no-race", action="store_true", help="only the tables of speed")
    parser.add_argument("--race-only", action="store_true", help="no tables of speed")
    parser.add_argument("--plot", type=Path, help="draw the race to this PNG")
    parser.add_argument("--json", type=Path, help="write all that was measured")
    given = parser.parse_args()
    if given.turns < 1:
        parser.error("--turns must be 1 or more")
    result: dict[str, Any] = {"machine": f"{platform.machine()}, {THREADS} threads"}
    with tempfile.TemporaryDirectory() as place:
        try:
            texts = write_ids(Path(place), given.text, given.valid)
        except TextError as error:
            parser.error(str(error))
        if not given.race_only:
            result["speed"] = measure_speed(texts, given.turns)
            print_speed(result["speed"])
        if not given.no_race:
            result["race"] = {who: race(who, texts["words"]) for who in ("Carousel", PLAIN)}
            print_race(result["race"])
            if given.plot:
                draw_race(result["race"], given.plot)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_ids(place: Path, text: str, valid: str) -> dict[str, dict[str, Any]]:
    """The texts as ids on disk: whole words, the 10,000 likeliest of them, and characters."""
    made = {}
    for name, kind, size in (
        ("words", "whitespace", None), ("10,000", "whitespace", 10_000), ("chars", "chars", None),
    ):  # fmt: skip
        say(f"reading {text} as {name}")
        tokenizer = train_tokenizer(kind, read_pieces(find_files([text])), vocab_size=size)
        paths = {}
        for part, source in (("train", text), ("valid", valid)):
            parts = [ids for ids, _ in encode_pieces(read_pieces(find_files([source])), tokenizer)]
            paths[part] = str(place / f"{name}-{part}.npy")
            np.save(paths[part], np.concatenate(parts))
        made[name] = {"ids": paths, "vocab_size": tokenizer.vocab_size}
    return made


def measure_speed(texts: dict[str, dict[str, Any]], turns: int) -> list[dict[str, Any]]:
    """Words/s and peak memory of every contestant on every size, in turns."""
    tasks = []
    for batch_name, (batch, bptt) in BATCHES.items():
        at = {"batch": batch, "bptt": bptt}
        for size_name, (layers, width) in SIZES.items():
            for text in ("10,000", "words"):
                tasks.append((size_name, text, batch_name, at | sizes(layers, width)))
        tasks.append(("1×256", "chars", batch_name, at | sizes(1, 256)))
    rows = []
    for model, text, batch_name, setting in tasks:
        ways = [PLAIN, *(way for way in WAYS if text != "chars" or way == "Carousel")]
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for turn in range(turns):
            for way in ways:
                say(f"{model}, {text}, {batch_name}, turn {turn + 1}: {way}")
                job = {
                    "what": "speed",
                    "seconds": SECONDS,
                    "setting": COMMON | setting | WAYS.get(way, {}),
                }
                runs[way] += work(way, job, texts[text])
        rows.append(
            {
                "model": model,
                "vocabulary": texts[text]["vocab_size"],
                "batch": batch_name,
                "runs": runs,
            }
        )
    return rows


def sizes(layers: int, width: int) -> dict[str, int]:
    """The settings of a size."""
    return {"layers": layers, "hidden_size": width, "embedding_size": width}


def race(who: str, text: dict[str, Any]) -> list[dict[str, float]]:
    """Validations on the way to the target, each with the seconds until then."""
    say(f"race to perplexity {TARGET:g}: {who}")
    words = len(np.load(text["ids"]["valid"], mmap_mode="r"))
    job = {"what": "race", "setting": RACE, "target": TARGET, "validate_every": 5 * words}
    return work(who, job, text)


def work(who: str, job: dict[str, Any], text: dict[str, Any]) -> list[dict[str, float]]:
    """Run a worker to its end; what it printed."""
    given = job | text | {"who": "plain" if who == PLAIN else "carousel", "threads": THREADS}
    script = Path(__file__).parent / "training" / "worker.py"
    command = [sys.executable, str(script), json.dumps(given)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            rows.append(json.loads(line))
            if "perplexity" in rows[-1]:
                say(
                    "  {seconds:.0f} s, {words:.0f} words: perplexity {perplexity:.1f}".format(
                        **rows[-1]
                    )
                )
    if process.returncode:
        raise SystemExit(f"{who} failed: {command}")
    return rows


def print_speed(rows: list[dict[str, Any]]) -> None:
    """Two tables: words/s as multiples of the plain recipe's, and memory."""
    ways = [PLAIN, *WAYS]
    head = "| model | vocabulary | batch | " + " | ".join(ways) + " |"
    rule = "| --- | --: | --: |" + " --: |" * len(ways)
    print(
        "\nWords/s: the plain recipe's median, and how many times that Carousel trains (lowest to"
    )
    print("highest of the turns).\n")
    print(head + "\n" + rule)
    for row in rows:
        cells = []
        base = [run["words_per_second"] for run in row["runs"][PLAIN]]
        for way in ways:
            runs = [run["words_per_second"] for run in row["runs"].get(way, [])]
            if way == PLAIN:
                cells.append(f"{statistics.median(base):,.0f}")
            elif runs:
                ratios = sorted(ours / theirs for ours, theirs in zip(runs, base, strict=True))
                middle = statistics.median(ratios)
                cells.append(f"{middle:.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")
            else:
                cells.append("the same")
        print(f"| {row['model']} | {row['vocabulary']:,} | {row['batch']} | {' | '.join(cells)} |")
    print("\nPeak memory of the process, MB (median)\n")
    print(head + "\n" + rule)
    for row in rows:
        peaks = {
            way: statistics.median(run["peak"] for run in runs) for way, runs in row["runs"].items()
        }
        cells = [f"{peaks[way] / 2**20:,.0f}" if way in peaks else "the same" for way in ways]
        print(f"| {row['model']} | {row['vocabulary']:,} | {row['batch']} | {' | '.join(cells)} |")


def reached(rows: list[dict[str, float]], perplexity: float) -> float | None:
    """The seconds at which a perplexity was first reached."""
    return next((row["seconds"] for row in rows if row["perplexity"] <= perplexity), None)


def print_race(races: dict[str, list[dict[str, float]]]) -> None:
    """When each first reached some perplexities."""
    print(f"\nSeconds to a validation perplexity ({describe(RACE)})\n")
    print(f"| perplexity | {PLAIN} | Carousel | ratio |\n| --: | --: | --: | --: |")
    for perplexity in SHOWN:
        theirs, ours = reached(races[PLAIN], perplexity), reached(races["Carousel"], perplexity)
        ratio = f"{theirs / ours:.1f}" if theirs and ours else ""
        cells = [f"{found:,.0f}" if found else "not reached" for found in (theirs, ours)]
        print(f"| {perplexity:g} | {' | '.join(cells)} | {ratio} |")


def describe(setting: dict[str, Any]) -> str:
    """The race's settings in a line."""
    optimizer = NAMES[setting["optimizer"]]
    return (
        f"{setting['layers']}×{setting['hidden_size']}, "
        f"batch {setting['batch']}×{setting['bptt']}, "
        f"{optimizer} {setting['learning_rate']:g}, dropout {setting['dropout']:g}, "
        f"{setting['epochs']:g} epochs"
    )


def draw_race(races: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Perplexity against the time that it took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for (who, rows), colour in zip(races.items(), ("#0072B2", "#D55E00"), strict=True):
        minutes = [row["seconds"] / 60 for row in rows]
        perplexities = [row["perplexity"] for row in rows]
        axes.plot(minutes, perplexities, "o-", color=colour)
        # The curves fall: to the upper right of a point there is room.
        middle = len(rows) // 2
        axes.annotate(
            who, (minutes[middle], perplexities[middle]), (8, 8), textcoords="offset points",
            color=colour,
        )  # fmt: skip
    axes.axhline(TARGET, color="#888888", linewidth=0.8, linestyle="--")
    axes.set(yscale="log", xlabel="minutes of training", ylabel="validation perplexity")
    axes.set_yticks(SHOWN, [f"{tick:g}" for tick in SHOWN])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def say(line: str) -> None:
    """Progress, out of the tables' way."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
