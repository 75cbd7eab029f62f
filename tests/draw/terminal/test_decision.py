"""The decision in a terminal: a bar a word, to the side of the next word that it speaks for."""

import io

from rich.console import Console

import carousel
from carousel.draw.terminal.decision import decision_lines
from carousel.lens.decision import measure_decision

B = "krish likes pizza but his friend likes burger so his friend orders"


def test_bars_in_a_terminal():
    decision = measure_decision(carousel.load().trace(B), ("pizza", "burger"))
    file = io.StringIO()
    Console(file=file, width=80).print(*decision_lines(decision, 80), sep="\n")
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) == len(decision.words) + 2
    for word, share, line in zip(decision.words, decision.shares, lines[1:], strict=False):
        assert line.split()[:2] == [word, f"{share:+.2f}"]
        assert ("█" in line) <= (share > 0)
        assert ("▒" in line) <= (share < 0)
