"""Columns that hold every word, in rows that fit."""

from hypothesis import given
from hypothesis import strategies as st

from carousel.draw.svg.columns import MAX_COLUMN_WIDTH, NARROW, ColumnLayout


@given(
    words=st.lists(st.text(max_size=30), min_size=1, max_size=100),
    width=st.floats(10, 3000),
    least=st.floats(20, 90),
)
def test_every_word_has_a_column_and_every_row_fits(words, width, least):
    layout = ColumnLayout.fit(words, width, left=50, min_size=least, font_size=14)
    assert [t for row in layout.rows for t in row] == list(range(len(words)))
    assert min(least, 52 if width < NARROW else least) <= layout.size <= MAX_COLUMN_WIDTH
    if len(layout.rows[0]) > 1:
        assert layout.right <= width
    assert len(layout.rows[0]) - len(layout.rows[-1]) <= 1


def test_a_narrow_picture_has_more_than_one_word_in_a_row():
    words = ["⏎", *["krish", "likes", "pizza", "but", "his", "friend", "orders"]]
    layout = ColumnLayout.fit(words, 358, left=126, min_size=70, font_size=14)
    assert layout.width <= 358
    assert layout.left < 126
    assert layout.font_size < 14
    assert min(map(len, layout.rows)) >= 3
