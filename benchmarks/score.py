"""Scoring: words a second and peak memory over the lines of a text, on all cores.

    python benchmarks/score.py MODEL TEXT [--megabytes 1] [--arpa FILE]

``MODEL`` is a folder with an LSTM and a plain softmax, and ``TEXT`` is repeated up to that size.
Compared are ``carousel score``, PyTorch's fused ``nn.LSTM`` on the same weights (batches of lines
of like length, as many threads as cores), and KenLM (its Python module on the n-gram model
``FILE``, one process a core; its memory is that of the one that starts them). Words are those as
written, with the end of each line.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from carousel.cli import run
from carousel.errors import CarouselError
from carousel.model import LanguageModel
from carousel.text.files import find_files, read_pieces

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TOGETHER = 32
LINES = 2048
"""Lines that PyTorch's batches are made of."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", help="a model folder")
    parser.add_argument("text", help="the text")
    parser.add_argument("--megabytes", type=float, default=1.0, help="its size, by repeating it")
    parser.add_argument("--arpa", help="an n-gram model for KenLM, as lmplz writes it")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        words, nats = RUNS[given.run](given.model, Path(given.text))
        # Not getrusage: its peak is also that of the process that started this one.
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        print(words, nats, int(peak[1]) / 1e3 if peak else float("nan"))
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "text.txt"
        try:
            repeat(given.text, path, int(given.megabytes * 1e6))
            LanguageModel.load(given.model)
        except CarouselError as error:
            parser.error(str(error))
        print(f"{path.stat().st_size / 1e6:.1f} MB, {CORES} cores\n")
        print("| | words a second | peak memory, MB | nats a word |\n| --- | --: | --: | --: |")
        for name in RUNS:
            print(f"| {name} | {row(name, given, path)} |", flush=True)


def row(name: str, given: argparse.Namespace, path: Path) -> str:
    """The cells of one peer's row: what was measured, or why it was not."""
    model = given.model
    if name == "KenLM":
        model = given.arpa
        if importlib.util.find_spec("kenlm") is None:
            return "kenlm is not installed | – | –"
        if model is None:
            return "no --arpa was given | – | –"
    began = time.perf_counter()
    command = [sys.executable, __file__, "--run", name, str(model), str(path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if ran.returncode:
        return f"{ran.stderr.strip().splitlines()[-1]} | – | –"
    words, nats, peak = map(float, ran.stdout.split()[-3:])
    return f"{words / seconds:,.0f} | {peak:,.0f} | {nats / words:.4f}"


def repeat(source: str, path: Path, size: int) -> None:
    """Write the source again and again, up to ``size`` bytes or more."""
    files = find_files([source])
    with path.open("wb") as file:
        while file.tell() < size:
            for piece in read_pieces(files):
                file.write(piece.encode())
                if file.tell() >= size:
                    break


def by_carousel(model: str, path: Path) -> tuple[int, float]:
    """``carousel score``, from its file to its columns."""
    words, nats = 0, 0.0

    class Reader(io.TextIOBase):
        def write(self, line: str) -> int:
            nonlocal words, nats
            if "\t" in line:
                first, *_, text = line.split("\t", 4)
                words += len(text.split()) + 1
                nats -= float(first)
            return len(line)

    with contextlib.redirect_stdout(Reader()):
        if run(["score", "--model", model, str(path)]):
            raise SystemExit("carousel score failed")
    return words, nats


def by_torch(model: str, path: Path) -> tuple[int, float]:
    """``nn.LSTM`` and a linear layer; lines of like length together."""
    import torch

    torch.set_num_threads(CORES)
    lm = LanguageModel.load(model)
    config, w = lm.config, {n: torch.from_numpy(a.copy()) for n, a in lm.model.weights.items()}
    lstm = torch.nn.LSTM(config.embedding_size, config.hidden_size, config.layers)
    for name in lstm.state_dict():
        kind, _, layer = name.rpartition("_l")
        getattr(lstm, name).data = w[f"layers.{layer}.{kind}"]
    decoder = w["embedding.weight" if config.tied else "decoder.weight"]
    words, nats, eol = 0, 0.0, lm.tokenizer.eol_id
    with torch.inference_mode():
        for lines in batches(path):
            words += sum(len(line.split()) + 1 for line in lines)
            ids = sorted(([eol, *lm.tokenizer.encode(line), eol] for line in lines), key=len)
            for first in range(0, len(ids), TOGETHER):
                chosen = [torch.tensor(each) for each in ids[first : first + TOGETHER]]
                text = torch.nn.utils.rnn.pad_sequence(chosen, padding_value=-1)
                inputs, targets = text[:-1].clamp(min=0), text[1:]
                there = targets >= 0
                hidden = lstm(torch.nn.functional.embedding(inputs, w["embedding.weight"]))[0][
                    there
                ]
                if config.projection_size:
                    hidden = hidden @ w["projection.weight"].T
                for part, wanted in zip(hidden.split(512), targets[there].split(512), strict=True):
                    logits = torch.addmm(w["decoder.bias"], part, decoder.T)
                    nats += float(
                        torch.nn.functional.cross_entropy(logits, wanted, reduction="sum")
                    )
    return words, nats


def by_kenlm(model: str, path: Path) -> tuple[int, float]:
    """KenLM's model; its tokens are the words between white space."""
    import kenlm

    ngrams = kenlm.Model(model)
    parts = list(batches(path))
    children = []
    for number in range(CORES):
        reader, writer = os.pipe()
        if os.fork() == 0:
            mine = [line for part in parts[number::CORES] for line in part]
            words = sum(len(line.split()) + 1 for line in mine)
            nats = -np.log(10) * sum(ngrams.score(line) for line in mine)
            os.write(writer, f"{words} {nats}".encode())
            os._exit(0)
        os.close(writer)
        children.append(reader)
    sums = [os.read(reader, 99).split() for reader in children]
    return sum(int(words) for words, _ in sums), sum(float(nats) for _, nats in sums)


def batches(path: Path) -> Iterator[list[str]]:
    """The text's lines, some at a time."""
    for piece in read_pieces([path]):
        lines = piece.removesuffix("\n").split("\n")
        for first in range(0, len(lines), LINES):
            yield lines[first : first + LINES]


RUNS = {"carousel score": by_carousel, "PyTorch nn.LSTM": by_torch, "KenLM": by_kenlm}


if __name__ == "__main__":
    main()
