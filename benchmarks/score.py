"""Scoring: words a second and peak memory over the lines of a text, on all cores.

    python benchmarks/score.py MODEL TEXT [--megabytes 1] [--torch-megabytes 10]
        [--kenlm DIR] [--arpa FILE]

``MODEL`` is a model with an LSTM and a plain softmax, and ``TEXT`` is repeated up to that size.
Compared are three programs:

- ``carousel score``, from the file to its columns;
- PyTorch's fused ``nn.LSTM`` on the same weights in float32, batches of lines of like length, as
  many threads as cores, and no more of the text than it says;
- KenLM's ``query -v sentence``, one process a core, on the n-gram model ``FILE``; without one, on a
  5-gram model that its ``lmplz`` makes of ``TEXT`` before the clock runs, so that its nats do not
  compare. ``DIR`` holds KenLM's programs; without it they are looked for on the PATH. Its memory is
  that of its processes together, each with the whole model.

Words are those as written, with the end of each line. A peer that is missing is skipped, and said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from carousel.cli import run
from carousel.errors import CarouselError
from carousel.model import LanguageModel
from carousel.text.files import find_files, read_pieces

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TOGETHER = 32
LINES = 2048
"""Lines that PyTorch's batches are made of."""


class Measured(NamedTuple):
    """What one program did."""

    words: int
    nats: float
    seconds: float
    megabytes: float
    """The peak of its memory."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", help="a model folder, or a model that comes with Carousel")
    parser.add_argument("text", help="the text")
    parser.add_argument("--megabytes", type=float, default=1.0, help="its size, by repeating it")
    parser.add_argument(
        "--torch-megabytes", type=float, default=10.0, help="how much of it PyTorch reads"
    )
    parser.add_argument("--kenlm", metavar="DIR", help="the folder of KenLM's lmplz and query")
    parser.add_argument("--arpa", metavar="FILE", help="an n-gram model for KenLM to score with")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        print(*RUNS[given.run](given.model, Path(given.text)))
        return
    with tempfile.TemporaryDirectory() as place:
        path, part = Path(place) / "text.txt", Path(place) / "part.txt"
        try:
            repeat(given.text, path, int(given.megabytes * 1e6))
            repeat(given.text, part, int(min(given.megabytes, given.torch_megabytes) * 1e6))
            LanguageModel.load(given.model)
        except CarouselError as error:
            parser.error(str(error))
        print(f"{path.stat().st_size / 1e6:.1f} MB, {CORES} cores\n")
        print("| | read, MB | words a second | peak memory, MB | nats a word |")
        print("| --- | --: | --: | --: | --: |")
        show("carousel score", path, in_process("carousel score", given.model, path))
        if importlib.util.find_spec("torch") is None:
            show("PyTorch nn.LSTM", part, "torch is not installed")
        else:
            show("PyTorch nn.LSTM", part, in_process("PyTorch nn.LSTM", given.model, part))
        show("KenLM query", path, by_kenlm(given.kenlm, given.arpa, given.text, path))


def show(name: str, path: Path, measured: Measured | str) -> None:
    """Print a row: what was measured, or why it was not."""
    if isinstance(measured, str):
        print(f"| {name}: {measured} | – | – | – | – |", flush=True)
        return
    rate = measured.words / measured.seconds
    print(
        f"| {name} | {path.stat().st_size / 1e6:.1f} | {rate:,.0f} | {measured.megabytes:,.0f} | "
        f"{measured.nats / measured.words:.4f} |",
        flush=True,
    )


def in_process(name: str, model: str, path: Path) -> Measured | str:
    """What a run measured in a process of its own, or its error."""
    command = [sys.executable, __file__, "--run", name, model, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        return ran.stderr.strip().splitlines()[-1]
    words, nats, seconds, megabytes = ran.stdout.split()[-4:]
    return Measured(int(words), float(nats), float(seconds), float(megabytes))


def peak_megabytes(pid: int | str = "self") -> float:
    """The peak of a process's memory."""
    # Not getrusage: its peak is also that of the process that started this one.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(peak[1]) / 1e3 if peak else math.nan


def repeat(source: str, path: Path, size: int) -> None:
    """Write the source again and again, up to the end of the line that reaches ``size`` bytes."""
    files, left = find_files([source]), size
    with path.open("wb") as file:
        while left > 0:
            for piece in read_pieces(files):
                content = piece.encode()
                end = content.find(b"\n", left - 1) + 1 if len(content) > left else len(content)
                left -= file.write(content[: end or len(content)])
                if left <= 0:
                    break


def by_carousel(model: str, path: Path) -> Measured:
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

    start = time.perf_counter()
    with contextlib.redirect_stdout(Reader()):
        if run(["score", "--model", model, str(path)]):
            raise SystemExit("carousel score failed")
    return Measured(words, nats, time.perf_counter() - start, peak_megabytes())


def by_torch(model: str, path: Path) -> Measured:
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
    start = time.perf_counter()
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
    return Measured(words, nats, time.perf_counter() - start, peak_megabytes())


def by_kenlm(folder: str | None, arpa: str | None, source: str, path: Path) -> Measured | str:
    """KenLM's ``query``, on an n-gram model that is given or that its ``lmplz`` makes."""
    lmplz, build_binary, query = (
        shutil.which(name, path=folder) for name in ("lmplz", "build_binary", "query")
    )
    if query is None or (arpa is None and (lmplz is None or build_binary is None)):
        return f"no lmplz, build_binary and query in {folder or 'the PATH'}"
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = Path(arpa) if arpa else place / "model.bin"
        if arpa is None:
            with (place / "source.txt").open("wb") as file:
                file.writelines(piece.encode() for piece in read_pieces(find_files([source])))
            made = [lmplz, "-o", "5", "-S", "500M", "-T", place, "--discount_fallback",
                    "--text", place / "source.txt", "--arpa", place / "model.arpa"]  # fmt: skip
            for command in (made, [build_binary, place / "model.arpa", model]):
                ran = subprocess.run(list(map(str, command)), capture_output=True, text=True)
                if ran.returncode:
                    return f"{Path(str(command[0])).name} failed: {ran.stderr.strip()[-200:]}"
        words, readers = 0, []
        parts = [stack.enter_context((place / f"{n}.txt").open("w+")) for n in range(CORES)]
        outputs = [stack.enter_context((place / f"{n}.out").open("w+")) for n in range(CORES)]
        for number, lines in enumerate(batches(path)):
            words += sum(len(line.split()) + 1 for line in lines)
            parts[number % CORES].writelines(line + "\n" for line in lines)
        start = time.perf_counter()
        for part, output in zip(parts, outputs, strict=True):
            part.seek(0)
            command = [query, "-v", "sentence", "-v", "summary", str(model)]
            readers.append(
                subprocess.Popen(command, stdin=part, stdout=output, stderr=subprocess.DEVNULL)
            )
        peaks = [0.0] * CORES
        while any(reader.poll() is None for reader in readers):
            for number, reader in enumerate(readers):
                with contextlib.suppress(OSError):
                    peaks[number] = max(peaks[number], peak_megabytes(reader.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        if any(reader.returncode for reader in readers):
            return f"query can't read {model}"
        nats = 0.0
        for output in outputs:
            output.seek(0)
            found = re.findall(r"^Total: (\S+) OOV", output.read(), re.MULTILINE)
            nats -= math.log(10) * sum(map(float, found))
    return Measured(words, nats, seconds, sum(peaks))


def batches(path: Path) -> Iterator[list[str]]:
    """The text's lines, some at a time."""
    for piece in read_pieces([path]):
        lines = piece.removesuffix("\n").split("\n")
        for first in range(0, len(lines), LINES):
            yield lines[first : first + LINES]


RUNS = {"carousel score": by_carousel, "PyTorch nn.LSTM": by_torch}


if __name__ == "__main__":
    main()
