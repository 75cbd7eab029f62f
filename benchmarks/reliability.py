"""Try to break Carousel, and count: kills, power cuts, bad files, concurrency, numbers.

    python benchmarks/reliability.py                       # each for a minute
    python benchmarks/reliability.py kills --seconds 1800
    make fuzz                                              # bad files by coverage, for hours

Each trial prints how often it has tried what, and what went wrong. The last line sums up; the exit
status is 0 if nothing was lost, mixed, wrong, or ended otherwise than by one clear line.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from trials.tally import Budget, Tally

TRIALS = {
    "kills": ("kills", "try_kills"),
    "power": ("power", "try_power_cuts"),
    "bad_files": ("bad_files", "try_bad_files"),
    "coverage_guided": ("coverage_guided", "try_coverage_guided"),
    "concurrency": ("concurrency", "try_concurrency"),
    "numbers": ("extremes", "try_numbers"),
}
"""The trials, each with a module of ``trials/`` and its function."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trials", nargs="*", metavar="TRIAL", help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--seconds", type=float, default=60, help="for each trial")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = arguments.trials or list(TRIALS)
    if unknown := sorted(set(names) - TRIALS.keys()):
        parser.error(f"there is no trial {unknown[0]}; there are {', '.join(TRIALS)}")
    os.environ["OMP_NUM_THREADS"] = "1"
    failed = tried = 0
    with tempfile.TemporaryDirectory(prefix="carousel-reliability-") as name:
        os.environ["CAROUSEL_CACHE"] = str(Path(name) / "cache")
        for trial in names:
            folder = Path(name) / trial
            folder.mkdir()
            tally = Tally(trial)
            module, function = TRIALS[trial]
            try_trial = getattr(import_module(f"trials.{module}"), function)
            try_trial(Budget(arguments.seconds, arguments.seed, folder), tally)
            tally.show()
            failed += len(tally.failures)
            tried += sum(tally.tried.values())
    print(f"{tried:,} tried, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
