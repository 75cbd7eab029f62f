"""SVG that is well-formed whatever its text, follows its theme, and becomes PNG."""

import builtins

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.draw.svg.canvas import DARK, LIGHT, Canvas, fit, stack, text_width
from carousel.errors import FolderError, LensError
from drawn import SPECIAL, parse


def drawing():
    canvas = Canvas(100, 50, title="one & two")
    canvas.text(5, 20, "<script>alert('1')</script>")
    canvas.rect(0, 0, 10, 10, "forget", hint='"quoted"')
    canvas.line([(0, 0), (20, 0), (20, 20)], head=True, curve=5)
    canvas.circle(50, 25, 5, "ground")
    return canvas


@given(words=st.text())
def test_any_text_is_well_formed(words):
    canvas = Canvas(10, 10, title=words)
    canvas.text(0, 5, words, within=40)
    canvas.rect(0, 0, 1, 1, "ink", hint=words)
    parse(canvas.to_string())


def test_text_is_only_text():
    text = drawing().to_string()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "&quot;quoted&quot;" in text


def test_themes():
    auto, page = drawing().to_string(), drawing().to_string("page")
    assert "prefers-color-scheme:dark" in auto
    assert LIGHT["ink"] in auto
    assert DARK["ink"] in auto
    assert "<style>" not in page
    assert "var(--ink)" in page
    for theme, colours in (("light", LIGHT), ("dark", DARK)):
        fixed = drawing().to_string(theme)
        assert "var(" not in fixed
        assert colours["ground"] in fixed


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


def test_cut_text_keeps_the_whole_as_a_hint():
    canvas = Canvas(100, 20, title="")
    canvas.text(0, 10, "a long word indeed", within=40)
    assert "<title>a long word indeed</title>" in canvas.to_string()


def test_drawings_below_each_other():
    both = stack([drawing(), drawing()], title="two", gap=10)
    assert (both.width, both.height) == (100, 110)
    assert both.labels[1].y0 == both.labels[0].y0 + 60


def test_png(tmp_path):
    drawing().save_png(tmp_path / "a.png", scale=3)
    data = (tmp_path / "a.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert int.from_bytes(data[16:20], "big") == 300


def test_png_without_resvg(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name == "resvg_py":
            raise ModuleNotFoundError("no", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(LensError, match=r"a PNG needs resvg_py.*carousel-lstm\[draw\]"):
        drawing().save_png(tmp_path / "a.png")


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(FolderError, match="can't be written"):
        drawing().save(tmp_path)


def test_special_words_survive():
    canvas = Canvas(10, 10, title="")
    for word in SPECIAL:
        canvas.text(0, 0, word)
    assert "\x1b" not in canvas.to_string()
