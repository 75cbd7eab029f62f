"""Rows of a terminal: every word in one block, every cell as wide as its place."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from carousel.draw.terminal.word_rows import (
    CELL_WIDTH,
    LABEL_WIDTH,
    bar_cell,
    block,
    shorten,
    word_blocks,
    word_row,
    wrapped,
)


@given(first=st.integers(0, 1), count=st.integers(1, 200), width=st.integers(1, 300))
def test_blocks_hold_every_word_once_and_fit(first, count, width):
    made = word_blocks(first, first + count, width)
    assert [t for columns in made for t in columns] == list(range(first, first + count))
    for columns in made:
        assert len(columns) == 1 or LABEL_WIDTH + CELL_WIDTH * len(columns) <= width
    assert len(made[0]) - len(made[-1]) <= 1


@given(word=st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me", "Cf"])))
def test_a_cell_is_as_wide_as_its_place(word):
    assert cell_len(shorten(word)) <= CELL_WIDTH - 1
    line = word_row(word, [Text(word), Text("x")])
    assert cell_len(line.plain[: line.plain.rindex("x")]) == LABEL_WIDTH + CELL_WIDTH


def test_blocks_are_as_high_as_their_share():
    assert [block(share) for share in (-1, 0, 0.5, 1, 2)] == [" ", " ", "▄", "█", "█"]


def test_numbers_have_the_terminal_s_own_colour():
    cell = bar_cell(0.5, "#D55E00", "0.50", "±.1")
    assert cell.plain == "▄0.50±.1"
    coloured = [cell.plain[s.start : s.end] for s in cell.spans if getattr(s.style, "color", None)]
    assert coloured == ["▄"]


@given(words=st.lists(st.text("abc", min_size=1, max_size=12)), width=st.integers(1, 100))
def test_sentences_wrap(words, width):
    lines = [line.plain for line in wrapped(" ".join(words), width)]
    assert all(cell_len(line) <= max(width, 20) for line in lines)
    assert " ".join(lines).split() == words
