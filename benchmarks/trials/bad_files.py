"""Files changed at random: each is read as it was meant, or refused in one clear line.

Every kind of file that Carousel reads is a target: a function of bytes. Here random changes are
tried on whole files, some of bytes, some of the JSON in them. ``coverage_guided.py`` has Atheris
choose the changes by the lines of Python that they reach.

Each input is read in a process that may take 1 GB beside what it has at the beginning. An input
that takes more than ten seconds or one gigabyte, that ends in another error than Carousel's own, or
that kills the process is a failure, and is kept in ``build/reliability``.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from carousel.errors import CarouselError
from trials.bad_files_targets import Target, make_targets
from trials.tally import Budget, Tally

KEPT = Path("build/reliability")
LONGEST = 10
"""Seconds that one input may take."""
MEMORY = 2**30
"""Bytes that reading may take."""
JUNK = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**70, 1e308, -0.0, "", "a", "\0", "\ud800", [], {},
    [[]], {"": ""}, "x" * 5000, [0] * 5000, float("nan"), "../..", "<unk>", "lstm",
)  # fmt: skip
"""Values that are put in the place of others in JSON."""
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)


def try_bad_files(budget: Budget, tally: Tally) -> None:
    """Change files at random for as long as there is time, in a process of its own."""
    with memory_folder() as folder:
        _try_in_processes(budget, tally, folder)


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where the system has one: what is read is the same, and it is faster."""
    shared_memory = Path("/dev/shm")
    place = shared_memory if os.access(shared_memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="carousel-bad-files-", dir=place) as name:
        yield Path(name)


def _try_in_processes(budget: Budget, tally: Tally, folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    attempt = 0
    while budget.left() > 1:
        attempt += 1
        place = folder / f"process-{attempt}"
        place.mkdir()
        receiving, sending = context.Pipe(duplex=False)
        arguments = (place, budget.seed + attempt, budget.left(), sending)
        process = context.Process(target=_work, args=arguments)
        process.start()
        sending.close()
        try:
            counts, failures = receiving.recv()
        except EOFError:
            process.join()
            if not (place / "input").exists():
                raise RuntimeError("the targets can't be made") from None
            counts, failures = Counter(), []
            _keep(place / "input", f"crash-{budget.seed}-{attempt}")
            tally.add("crash", f"the process ended with {process.exitcode}")
        process.join()
        for kind, count in counts.items():
            tally.add(kind, count=count)
        tally.failures += failures


def try_input(target: Target, data: bytes) -> str | None:
    """Read one input; what is wrong with how that ended, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(data)
    except CarouselError as error:
        message = str(error)
        return f"not one line: {message[:200]!r}" if "\n" in message or not message else None
    except MemoryError:
        return "more than 1 GB"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def _work(place: Path, seed: int, seconds: float, results: Any) -> None:
    targets = make_targets(place)
    _limit_memory()
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    last = place / "input"

    def too_long(number: int, frame: object) -> None:
        raise TimeoutError(f"more than {LONGEST} s")

    signal.signal(signal.SIGALRM, too_long)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        target = chance.choice(targets)
        data = mutate(chance.choice(target.seeds), chance)
        last.write_bytes(data)  # what a crash of the process leaves
        signal.alarm(LONGEST)
        failure = try_input(target, data)
        signal.alarm(0)
        counts[target.name] += 1
        if failure:
            failures.append(f"{target.name}: {failure}")
            _keep(last, f"{target.name.replace(' ', '-')}-{seed}-{sum(counts.values())}")
    results.send((counts, failures))


def _keep(path: Path, name: str) -> None:
    if path.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / name).write_bytes(path.read_bytes())


def _limit_memory() -> None:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def mutate(data: bytes, chance: random.Random) -> bytes:
    """A changed copy of a file."""
    changes: list[Callable[[bytes, random.Random], bytes]] = [_change_bytes, _cut, _repeat, _insert]
    if data[:1] in (b"{", b"["):
        changes += [_change_json] * 6
    elif 2 <= int.from_bytes(data[:8], "little") < len(data):
        changes += [_change_header] * 6
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(changes)(data, chance)
    return data


def _change_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8)) if changed else 0):
        at = chance.randrange(len(changed))
        changed[at] = chance.choice((chance.randrange(256), *INTERESTING))
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    start, stop = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if chance.random() < 0.5 else data[:start] + data[stop:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start, stop = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start : min(stop, start + 4096)] + data[stop:]


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(chance.choice((1, 4, 8, 64))) + data[at:]


def _change_json(data: bytes, chance: random.Random) -> bytes:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError):
        return _change_bytes(data, chance)
    place = table
    for _ in range(20):
        if not isinstance(place, dict | list) or not place:
            break
        key = chance.choice([*place]) if isinstance(place, dict) else chance.randrange(len(place))
        if not isinstance(place[key], dict | list) or chance.random() < 0.3:
            _change_entry(place, key, chance)
            break
        place = place[key]
    return json.dumps(table).encode()


def _change_entry(place: Any, key: Any, chance: random.Random) -> None:
    choice = chance.randrange(4)
    if choice == 0:
        del place[key]
    elif choice == 1 and type(place[key]) is int:
        place[key] += chance.choice((-1, 1, 2, 256))
    elif choice == 2 and isinstance(place, dict):
        place[chance.choice((f"{key}x", "new", "__metadata__"))] = place[key]
    else:
        place[key] = chance.choice(JUNK)


def _change_header(data: bytes, chance: random.Random) -> bytes:
    """A change in the JSON of a safetensors file's header."""
    size = int.from_bytes(data[:8], "little")
    header = _change_json(data[8 : 8 + size].strip(), chance)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]
