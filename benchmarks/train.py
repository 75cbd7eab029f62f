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
BASELINE = "plain PyTorch"
VARIANTS: dict[str, dict[str, Any]] = {
    "Carousel": {},
    "full softmax": {"softmax": "full"},
    "full, float32": {"softmax": "full", "precision": "float32"},
}
COMMON = {
    "cell": "lstm",
    "tie_embeddings": True,
    "dropout": 0.2,
    "grad_clip": 0.25,
    "optimizer": "adamw",
    "learning_rate": 0.003,
    "warmup": 0.02,
    "patience": 0,
}
RACE = COMMON | {
    "layers": 2,
    "hidden_size": 200,
    "embedding_size": 200,
    "batch_size": 20,
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
PERPLEXITIES = (300.0, 250.0, 200.0, 175.0, TARGET)
SECONDS = 2.0
"""How long a measurement of speed takes."""
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
    arguments = parser.parse_args()
    if arguments.turns < 1:
        parser.error("--turns must be 1 or more")
    result: dict[str, Any] = {"machine": f"{platform.machine()}, {THREADS} threads"}
    with tempfile.TemporaryDirectory() as folder:
        try:
            texts = write_ids(Path(folder), arguments.text, arguments.valid)
        except TextError as error:
            parser.error(str(error))
        if not arguments.race_only:
            result["speed"] = measure_speed(texts, arguments.turns)
            print_speed(result["speed"])
        if not arguments.no_race:
            contestants = ("Carousel", BASELINE)
            result["race"] = {name: race(name, texts["words"]) for name in contestants}
            print_race(result["race"])
            if arguments.plot:
                draw_race(result["race"], arguments.plot)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def write_ids(folder: Path, text: str, valid: str) -> dict[str, dict[str, Any]]:
    """The texts as ids on disk: as words, as the 10,000 most frequent words, and as characters."""
    texts = {}
    for name, kind, size in (
        ("words", "whitespace", None), ("10,000", "whitespace", 10_000), ("chars", "chars", None),
    ):  # fmt: skip
        log(f"reading {text} as {name}")
        tokenizer = train_tokenizer(kind, read_pieces(find_files([text])), vocab_size=size)
        paths = {}
        for part, source in (("train", text), ("valid", valid)):
            parts = [ids for ids, _ in encode_pieces(read_pieces(find_files([source])), tokenizer)]
            paths[part] = str(folder / f"{name}-{part}.npy")
            np.save(paths[part], np.concatenate(parts))
        texts[name] = {"ids": paths, "vocab_size": tokenizer.vocab_size}
    return texts


def measure_speed(texts: dict[str, dict[str, Any]], turns: int) -> list[dict[str, Any]]:
    """Words/s and peak memory of every contestant on every size, in turns."""
    tasks = []
    for batch_name, (batch, bptt) in BATCHES.items():
        batch_settings = {"batch_size": batch, "bptt": bptt}
        for size_name, (layers, width) in SIZES.items():
            for text in ("10,000", "words"):
                tasks.append((size_name, text, batch_name, batch_settings | sizes(layers, width)))
        tasks.append(("1×256", "chars", batch_name, batch_settings | sizes(1, 256)))
    rows = []
    for model, text, batch_name, setting in tasks:
        variants = [
            BASELINE,
            *(variant for variant in VARIANTS if text != "chars" or variant == "Carousel"),
        ]
        runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for turn in range(turns):
            for variant in variants:
                log(f"{model}, {text}, {batch_name}, turn {turn + 1}: {variant}")
                job = {
                    "what": "speed",
                    "seconds": SECONDS,
                    "setting": COMMON | setting | VARIANTS.get(variant, {}),
                }
                runs[variant] += run_worker(variant, job, texts[text])
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


def race(contestant: str, text: dict[str, Any]) -> list[dict[str, float]]:
    """Validations on the way to the target, each with the seconds until then."""
    log(f"race to perplexity {TARGET:g}: {contestant}")
    words = len(np.load(text["ids"]["valid"], mmap_mode="r"))
    job = {"what": "race", "setting": RACE, "target": TARGET, "validate_every": 5 * words}
    return run_worker(contestant, job, text)


def run_worker(
    contestant: str, job: dict[str, Any], text: dict[str, Any]
) -> list[dict[str, float]]:
    """Run a worker to its end, and return the rows that it printed."""
    name = "plain" if contestant == BASELINE else "carousel"
    arguments = job | text | {"contestant": name, "threads": THREADS}
    script = Path(__file__).parent / "training" / "worker.py"
    command = [sys.executable, str(script), json.dumps(arguments)]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            rows.append(json.loads(line))
            if "perplexity" in rows[-1]:
                log(
                    "  {seconds:.0f} s, {words:.0f} words: perplexity {perplexity:.1f}".format(
                        **rows[-1]
                    )
                )
    if process.returncode:
        raise SystemExit(f"{contestant} failed: {command}")
    return rows


def print_speed(rows: list[dict[str, Any]]) -> None:
    """Two tables: words/s as multiples of the plain recipe's, and memory."""
    variants = [BASELINE, *VARIANTS]
    head = "| model | vocabulary | batch | " + " | ".join(variants) + " |"
    rule = "| --- | --: | --: |" + " --: |" * len(variants)
    print(
        "\nWords/s: the plain recipe's median, and how many times that Carousel trains (lowest to"
    )
    print("highest of the turns).\n")
    print(head + "\n" + rule)
    for row in rows:
        cells = []
        base = [run["words_per_second"] for run in row["runs"][BASELINE]]
        for variant in variants:
            runs = [run["words_per_second"] for run in row["runs"].get(variant, [])]
            if variant == BASELINE:
                cells.append(f"{statistics.median(base):,.0f}")
            elif runs:
                ratios = sorted(ours / theirs for ours, theirs in zip(runs, base, strict=True))
                median = statistics.median(ratios)
                cells.append(f"{median:.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")
            else:
                cells.append("the same")
        print(f"| {row['model']} | {row['vocabulary']:,} | {row['batch']} | {' | '.join(cells)} |")
    print("\nPeak memory of the process, MB (median)\n")
    print(head + "\n" + rule)
    for row in rows:
        peaks = {
            variant: statistics.median(run["peak"] for run in runs)
            for variant, runs in row["runs"].items()
        }
        cells = [
            f"{peaks[variant] / 2**20:,.0f}" if variant in peaks else "the same"
            for variant in variants
        ]
        print(f"| {row['model']} | {row['vocabulary']:,} | {row['batch']} | {' | '.join(cells)} |")


def seconds_to(rows: list[dict[str, float]], perplexity: float) -> float | None:
    """The seconds at which a perplexity was first reached."""
    return next((row["seconds"] for row in rows if row["perplexity"] <= perplexity), None)


def print_race(races: dict[str, list[dict[str, float]]]) -> None:
    """When each first reached some perplexities."""
    print(f"\nSeconds to a validation perplexity ({describe(RACE)})\n")
    print(f"| perplexity | {BASELINE} | Carousel | ratio |\n| --: | --: | --: | --: |")
    for perplexity in PERPLEXITIES:
        theirs, ours = (
            seconds_to(races[BASELINE], perplexity),
            seconds_to(races["Carousel"], perplexity),
        )
        ratio = f"{theirs / ours:.1f}" if theirs and ours else ""
        cells = [f"{time:,.0f}" if time else "not reached" for time in (theirs, ours)]
        print(f"| {perplexity:g} | {' | '.join(cells)} | {ratio} |")


def describe(setting: dict[str, Any]) -> str:
    """The race's settings in a line."""
    optimizer = NAMES[setting["optimizer"]]
    return (
        f"{setting['layers']}×{setting['hidden_size']}, "
        f"batch {setting['batch_size']}×{setting['bptt']}, "
        f"{optimizer} {setting['learning_rate']:g}, dropout {setting['dropout']:g}, "
        f"{setting['epochs']:g} epochs"
    )


def draw_race(races: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Perplexity against the time that it took."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for (contestant, rows), colour in zip(races.items(), ("#0072B2", "#D55E00"), strict=True):
        minutes = [row["seconds"] / 60 for row in rows]
        perplexities = [row["perplexity"] for row in rows]
        axes.plot(minutes, perplexities, "o-", color=colour)
        # The curves fall: to the upper right of a point there is room.
        labelled = len(rows) // 2
        axes.annotate(
            contestant,
            (minutes[labelled], perplexities[labelled]),
            (8, 8),
            textcoords="offset points",
            color=colour,
        )
    axes.axhline(TARGET, color="#888888", linewidth=0.8, linestyle="--")
    axes.set(yscale="log", xlabel="minutes of training", ylabel="validation perplexity")
    axes.set_yticks(PERPLEXITIES, [f"{tick:g}" for tick in PERPLEXITIES])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def log(line: str) -> None:
    """Print progress to standard error, where it does not disturb the tables."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
