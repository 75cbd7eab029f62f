"""Widths of text: no smaller than the widest font's, and what is cut or wrapped to them fits."""

from hypothesis import given
from hypothesis import strategies as st

from carousel.draw.svg.text_width import fit, text_width, wrap


@given(words=st.text(max_size=50), width=st.floats(5, 300), bold=st.booleans())
def test_what_is_cut_fits_and_is_the_beginning(words, width, bold):
    cut = fit(words, width, bold=bold)
    assert cut in (words, "…") or (cut[-1] == "…" and words.startswith(cut[:-1]))
    if cut != "…":
        assert text_width(cut, bold=bold) <= width


def test_widths_are_those_of_the_widest_font():
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    for bold, file in ((False, "DejaVuSans.ttf"), (True, "DejaVuSans-Bold.ttf")):
        font = FT2Font(f"{get_data_path()}/fonts/ttf/{file}")
        font.set_size(64, 72)
        for words in (
            "pizza",
            "WWW",
            "illness",
            "orders 0.63",
            "next word",
            "−18.22",
            "(50%)",
            "×",
        ):
            font.set_text(words)
            assert font.get_width_height()[0] / 64 <= text_width(words, 64, bold=bold) * 1.01


@given(words=st.text(max_size=80), width=st.floats(20, 300), bold=st.booleans())
def test_wrapped_lines_fit_and_lose_no_word_that_fits(words, width, bold):
    lines = wrap(words, width, bold=bold)
    assert all(line == "…" or text_width(line, bold=bold) <= width for line in lines)
    if all(text_width(word, bold=bold) <= width for word in words.split(" ")):
        assert " ".join(lines) == words
