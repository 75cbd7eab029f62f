"""Bad files again, changed by Atheris: what reaches new lines of Python is changed further.

    python benchmarks/trials/coverage_guided.py "tokenizer.json" build/reliability/corpus

The first argument is a target of ``bad_files_targets.py``, the second a folder for what is learned;
further ones go to libFuzzer.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from trials.tally import Budget, Tally

KEPT = Path("build/reliability")
EXECUTED = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
LIMITS = ("-timeout=10", "-rss_limit_mb=3000", "-print_final_stats=1", "-max_len=65536")
"""PyTorch alone takes about a gigabyte before the first input is read."""
SLACK = 300
"""Seconds that a target may take beside its share, to begin and to end."""


def try_coverage_guided(budget: Budget, tally: Tally) -> None:
    """Give each target its share of the time, in a process of its own."""
    if find_spec("atheris") is None:
        print("coverage_guided: not tried, pip install atheris", flush=True)
        return
    from trials.bad_files import memory_folder  # not in the processes, which watch its imports

    with memory_folder() as folder:
        _try_targets(budget, tally, folder)


def _try_targets(budget: Budget, tally: Tally, folder: Path) -> None:
    from trials.bad_files_targets import make_targets

    names = [target.name for target in make_targets(budget.folder)]
    # The processes end without cleaning up: their files are in a folder that goes afterwards.
    environment = {**os.environ, "TMPDIR": str(folder)}
    # A folder's files are tried with three models; coverage sees no difference.
    names = list(dict.fromkeys(names))
    share = max(1, int(budget.seconds / len(names)))
    for name in names:
        learned = KEPT / "corpus" / name.replace(" ", "-")
        learned.mkdir(parents=True, exist_ok=True)
        options = [f"-max_total_time={share}", f"-seed={budget.seed + 1}", *LIMITS]
        options += [f"-artifact_prefix={KEPT}/{name.replace(' ', '-')}-"]
        command = [sys.executable, __file__, name, str(learned), *options]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=share + SLACK, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            tally.add(name, "it does not end")
            continue
        count = EXECUTED.search(done.stderr)
        tally.add(name, count=int(count[1]) if count else 0)
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-12:]
            ended = f"ended with {done.returncode}"
            tally.failures.append(f"{name}: {ended}: {' | '.join(last)[-600:]}")


def main() -> None:
    """Fuzz one target; Atheris ends the process."""
    import atheris

    with atheris.instrument_imports(include=["carousel"]):
        from trials.bad_files import mutate, try_input
        from trials.bad_files_targets import make_targets

    name, learned, *options = sys.argv[1:]
    place = Path(tempfile.mkdtemp(prefix="carousel-fuzz-"))
    target = next(target for target in make_targets(place) if target.name == name)
    for number, seed in enumerate(target.seeds):
        (Path(learned) / f"seed-{number}").write_bytes(seed)

    def read(data: bytes) -> None:
        failure = try_input(target, data)
        if failure:
            raise AssertionError(failure)

    def change(data: bytes, size: int, seed: int) -> bytes:
        # Half of the changes know JSON and safetensors' headers.
        changed = mutate(data, random.Random(seed)) if seed % 2 else atheris.Mutate(data, size)
        return bytes(changed[:size])

    atheris.Setup([sys.argv[0], *options, learned], read, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
