"""Words as they are shown, and columns that hold them."""

from hypothesis import given
from hypothesis import strategies as st

from carousel.draw.svg.words import LONGEST, Columns, guesses_of, printable, words_of
from drawn import make_trace


def test_control_marks_become_signs():
    assert printable("a\x1b[31m") == "a\N{REPLACEMENT CHARACTER}[31m"
    assert printable("\t") == "⇥"
    assert printable("  ") == "␣␣"
    assert printable("\x9b") == "\N{REPLACEMENT CHARACTER}"
    assert printable("naïve 漢字") == "naïve 漢字"


@given(word=st.text())
def test_nothing_unprintable_is_left(word):
    assert printable(word).isprintable()


def test_byte_pairs_are_read_as_text(make_model):
    model = make_model(kind="bpe", text="the café is open\n" * 9, vocab=300)
    trace = model.trace("the café")
    shown = words_of(trace)
    assert "".join(shown[1:]).replace("␣", " ") == "the café"
    assert all("Ġ" not in best.word for row in guesses_of(trace, 5) for best in row)


def test_guesses_are_the_trace_s(make_model):
    trace = make_model().trace("the cat sat")
    assert guesses_of(trace, 3) == trace.next_words(3)
    assert guesses_of(make_trace(["⏎", "a"]), 3) == [[], []]


@given(
    words=st.lists(st.text(max_size=30), min_size=1, max_size=100),
    width=st.floats(10, 3000),
    least=st.floats(20, 90),
)
def test_every_word_has_a_column_and_every_row_fits(words, width, least):
    columns = Columns.of(words, width, left=50, least=least)
    assert [t for row in columns.rows for t in row] == list(range(len(words)))
    assert least <= columns.size <= LONGEST
    if len(columns.rows[0]) > 1:
        assert columns.right <= width
    assert len(columns.rows[0]) - len(columns.rows[-1]) < len(columns.rows)
