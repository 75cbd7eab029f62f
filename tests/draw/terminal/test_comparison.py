"""Two sentences in a terminal: the comparison's own numbers, at their words, in any width."""

import io

from rich.console import Console

from carousel.draw.terminal.comparison import comparison_lines
from carousel.lens.compare import patch_texts
from front_door import parts

A = "the cat likes pizza but the cat orders"
B = "the cat likes pizza but a dog ran to the cat orders"


def test_in_a_terminal(make_model):
    lm = make_model(layers=2)
    found = lm.compare(A, B)
    patched = patch_texts(*parts(lm), found, ("pizza", "pie"))
    for width in (40, 80, 160):
        file = io.StringIO()
        lines = list(comparison_lines(found, width, patched, ("pizza", "pie")))
        Console(file=file, width=width).print(*lines, sep="\n")
        assert max(map(len, file.getvalue().splitlines())) <= width
        assert sum(line.plain.startswith("f forget 1") for line in lines) % 2 == 0
    text = file.getvalue()
    assert f"{found.distance[0, 1, -1]:.2f}" in text
    assert "dog" in text
