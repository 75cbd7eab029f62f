"""What a trial has tried, and what went wrong."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 5
"""Different failures that are printed, the most frequent first."""


@dataclass
class Budget:
    """How long a trial may take, and where its chance comes from."""

    seconds: float
    seed: int
    folder: Path
    """An empty folder for its files."""
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def restart(self) -> None:
        """Begin to count now: what was before was preparation."""
        self.start = time.monotonic()

    def left(self) -> float:
        """Seconds that are left."""
        return self.start + self.seconds - time.monotonic()


@dataclass
class Tally:
    """The counts of a trial."""

    name: str
    tried: Counter[str] = field(default_factory=Counter)
    """By kind."""
    failures: list[str] = field(default_factory=list)

    def add(self, kind: str, failure: str | None = None, count: int = 1) -> None:
        """Count one more, and what was wrong with it, if anything."""
        self.tried[kind] += count
        if failure is not None:
            self.failures.append(f"{kind}: {failure}")

    def show(self) -> None:
        """Print the counts in a line each."""
        total = sum(self.tried.values())
        print(f"{self.name}: {total:,} tried, {len(self.failures)} failed", flush=True)
        for kind, count in sorted(self.tried.items()):
            print(f"  {kind}: {count:,}", flush=True)
        for failure, count in Counter(self.failures).most_common(SHOWN):
            print(f"  FAILED {count:,} times: {failure}", flush=True)
