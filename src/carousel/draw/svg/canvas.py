"""SVG by hand: shapes and text in a theme, light, dark, or whichever the reader has."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from carousel.errors import LensError
from carousel.storage.atomic import write_file

Theme = Literal["auto", "page", "light", "dark"]

# Okabe & Ito's palette ("Color universal design", 2008), told apart with any colour vision.
COLOURS = {
    "forget": "#D55E00",
    "input": "#009E73",
    "candidate": "#CC79A7",
    "output": "#0072B2",
    "state": "#E69F00",
    "luggage-0": "#E69F00",
    "luggage-1": "#56B4E9",
    "luggage-2": "#009E73",
    "luggage-3": "#CC79A7",
    "luggage-4": "#D55E00",
    "luggage-5": "#0072B2",
    "luggage-6": "#F0E442",
}
LUGGAGE = 7
"""How many colours of luggage there are before they begin again."""
LIGHT = {
    "ink": "#1F2328",
    "dim": "#59636E",
    "line": "#D0D7DE",
    "soft": "#F0F2F5",
    "ground": "#FFFFFF",
}
DARK = {
    "ink": "#E6EDF3",
    "dim": "#9198A1",
    "line": "#3D444D",
    "soft": "#1B222B",
    "ground": "#0D1117",
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


class Label(NamedTuple):
    """The box in which a line of text stands: corners ``x0, y0`` and ``x1, y1``, and the text."""

    x0: float
    y0: float
    x1: float
    y1: float
    words: str


class Canvas:
    """A drawing of ``width`` by ``height`` pixels; each method adds one shape, the last on top."""

    def __init__(self, width: float, height: float, *, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.shapes: list[str] = []
        self.labels: list[Label] = []
        """Where text stands, so that a test can see that none stands on another."""

    def rect(
        self, x: float, y: float, width: float, height: float, fill: str,
        *, opacity: float = 1.0, radius: float = 0, stroke: str = "", hint: str = "",
    ) -> None:  # fmt: skip
        """A rectangle; ``hint`` shows when the pointer rests on it."""
        more = f' rx="{_n(radius)}"' if radius else ""
        more += f' fill-opacity="{_n(opacity)}"' if opacity < 1 else ""
        more += f' stroke="{_paint(stroke)}"' if stroke else ""
        self._add(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
            f'fill="{_paint(fill)}"{more}',
            "rect",
            hint,
        )

    def circle(self, x: float, y: float, radius: float, fill: str, stroke: str = "ink") -> None:
        """A circle."""
        self._add(
            f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{_paint(fill)}" '
            f'stroke="{_paint(stroke)}"',
            "circle",
        )

    def path(
        self, d: str, *, fill: str = "none", stroke: str = "", width: float = 1,
        opacity: float = 1.0, hint: str = "", dashed: bool = False,
    ) -> None:  # fmt: skip
        """A path in SVG's own notation."""
        more = ""
        if stroke:
            more = f' stroke="{_paint(stroke)}" stroke-width="{_n(width)}" stroke-linejoin="round"'
        more += f' opacity="{_n(opacity)}"' if opacity < 1 else ""
        more += ' stroke-dasharray="4 3"' if dashed else ""
        self._add(f'<path d="{d}" fill="{_paint(fill)}"{more}', "path", hint)

    def line(
        self, points: Sequence[tuple[float, float]], *, width: float = 1.5, stroke: str = "ink",
        dashed: bool = False, head: bool = False, hint: str = "", curve: float = 0,
    ) -> None:  # fmt: skip
        """A line through ``points``, its corners rounded by ``curve``, with a head at its end."""
        points = list(points)
        if head:
            # The line ends where its head begins, or it would show at the tip.
            (x0, y0), (x, y) = points[-2:]
            length = max(((x - x0) ** 2 + (y - y0) ** 2) ** 0.5, 1e-9)
            ux, uy, size = (x - x0) / length, (y - y0) / length, 6 + width
            points[-1] = (x - size * ux, y - size * uy)
            half = size / 2
            corners = [(x, y), (x - size * ux - half * uy, y - size * uy + half * ux),
                       (x - size * ux + half * uy, y - size * uy - half * ux)]  # fmt: skip
        self.path(_rounded(points, curve), stroke=stroke, width=width, dashed=dashed, hint=hint)
        if head:
            self.path("M" + "L".join(f"{_n(a)} {_n(b)}" for a, b in corners) + "Z", fill=stroke)

    def text(
        self, x: float, y: float, words: str, *, size: float = 13, fill: str = "ink",
        anchor: Literal["start", "middle", "end"] = "start", bold: bool = False,
        within: float | None = None,
    ) -> None:  # fmt: skip
        """One line of text on the base line ``y``, cut short where it is wider than ``within``."""
        whole, words = words, words if within is None else fit(words, within, size, bold=bold)
        if not words:
            return
        wide = text_width(words, size, bold=bold)
        x0 = x - {"start": 0, "middle": wide / 2, "end": wide}[anchor]
        self.labels.append(Label(x0, y - 0.8 * size, x0 + wide, y + 0.22 * size, words))
        weight = ' font-weight="600"' if bold else ""
        place = "" if anchor == "start" else f' text-anchor="{anchor}"'
        hint = f"<title>{_escape(whole)}</title>" if words != whole else ""
        self.shapes.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{_paint(fill)}"'
            f"{place}{weight}>{hint}{_escape(words)}</text>"
        )

    def place(self, other: Canvas, x: float, y: float) -> None:
        """Another drawing with its corner at ``x, y``."""
        self.shapes += [f'<g transform="translate({_n(x)} {_n(y)})">', *other.shapes, "</g>"]
        self.labels += [
            Label(at.x0 + x, at.y0 + y, at.x1 + x, at.y1 + y, at.words) for at in other.labels
        ]

    def to_string(self, theme: Theme = "auto") -> str:
        """The SVG's text. ``auto`` follows the reader's light or dark, ``page`` the page's own
        colours; the others are fixed.
        """
        size = f'width="{_n(self.width)}" height="{_n(self.height)}"'
        made = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="carousel" {size} '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" font-family="{FONT}" role="img">'
            f"<title>{_escape(self.title)}</title>{theme_style() if theme == 'auto' else ''}"
            f'<rect width="100%" height="100%" fill="var(--ground)"/>{"".join(self.shapes)}</svg>'
        )
        if theme in ("light", "dark"):
            for name, colour in (DARK if theme == "dark" else LIGHT).items():
                made = made.replace(f"var(--{name})", colour)
        return made

    def _repr_svg_(self) -> str:
        return self.to_string()

    def save(self, path: str | Path, theme: Theme = "auto") -> None:
        """Write an ``.svg``, whole or not at all.

        Raises:
            FolderError: it can't be written.
        """
        write_file(path, self.to_string(theme))

    def save_png(self, path: str | Path, theme: Theme = "light", scale: int = 2) -> None:
        """Write a ``.png`` at ``scale`` pixels for each of the drawing's.

        Raises:
            LensError: resvg is not installed.
            FolderError: it can't be written.
        """
        try:
            import resvg_py
            from matplotlib import get_data_path
        except ImportError as error:
            raise LensError(
                f"a PNG needs {error.name}, which is not installed: "
                "pip install 'carousel-lstm[draw]'"
            ) from None
        # The one font that is sure to be there: matplotlib brings it.
        fonts = Path(get_data_path()) / "fonts" / "ttf"
        made = resvg_py.svg_to_bytes(
            svg_string=self.to_string(theme).replace(FONT, "DejaVu Sans"),
            zoom=scale,
            font_dirs=[str(fonts)],
            font_family="DejaVu Sans",
        )
        write_file(path, bytes(made))

    def _add(self, start: str, tag: str, hint: str = "") -> None:
        self.shapes.append(
            f"{start}><title>{_escape(hint)}</title></{tag}>" if hint else f"{start}/>"
        )


def stack(canvases: Sequence[Canvas], *, title: str, gap: float = 18) -> Canvas:
    """Drawings below each other."""
    made = Canvas(
        max(canvas.width for canvas in canvases),
        sum(canvas.height for canvas in canvases) + gap * (len(canvases) - 1),
        title=title,
    )
    y = 0.0
    for canvas in canvases:
        made.place(canvas, 0, y)
        y += canvas.height + gap
    return made


def theme_style() -> str:
    """The colours of light and dark as a style element, for drawings alone."""
    light, dark = ("".join(f"--{k}:{v};" for k, v in t.items()) for t in (LIGHT, DARK))
    return (
        f"<style>.carousel{{{light}}}"
        f"@media(prefers-color-scheme:dark){{.carousel{{{dark}}}}}</style>"
    )


def text_width(words: str, size: float = 13, *, bold: bool = False) -> float:
    """How wide a line of text is at most, in the usual sans-serif fonts."""
    wide = sum(_width(char) for char in words) * size
    return wide * 1.13 if bold else wide


def fit(words: str, width: float, size: float = 13, *, bold: bool = False) -> str:
    """``words``, or as much of their beginning as fits ``width``, with an ellipsis."""
    if text_width(words, size, bold=bold) <= width:
        return words
    for end in range(len(words) - 1, 0, -1):
        if text_width(words[:end] + "…", size, bold=bold) <= width:
            return words[:end] + "…"
    return "…"


def on_colour(name: str) -> str:
    """The colour of text that stands on a filled shape: black, or white on the darkest."""
    return "#FFFFFF" if COLOURS.get(name) == "#0072B2" else "#000000"


def _width(char: str) -> float:
    # DejaVu Sans, the widest of the fonts asked for.
    if char in "iljI.,:;'|!":
        return 0.4
    if char in "mwMW@%":
        return 1.0
    if "a" <= char <= "z" or char in " ()-/":
        return 0.645
    if char.isascii():
        return 0.84 if char in "+=<>~^#&" else 0.8 if char.isupper() else 0.65
    return 1.3 if ord(char) > 0x1F000 else 1.05


def _rounded(points: Sequence[tuple[float, float]], radius: float) -> str:
    made = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (xa, ya), (x, y), (xb, yb) in zip(points, points[1:], points[2:], strict=False):
        before = max(abs(x - xa) + abs(y - ya), 1e-9)
        after = max(abs(xb - x) + abs(yb - y), 1e-9)
        r = min(radius, before / 2, after / 2)
        start = (x - (x - xa) / before * r, y - (y - ya) / before * r)
        end = (x + (xb - x) / after * r, y + (yb - y) / after * r)
        made += f"L{_n(start[0])} {_n(start[1])}Q{_n(x)} {_n(y)} {_n(end[0])} {_n(end[1])}"
    return made + f"L{_n(points[-1][0])} {_n(points[-1][1])}"


def _escape(words: str) -> str:
    # Characters that XML can't hold, not even escaped.
    allowed = (c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in words)
    return html.escape("".join(allowed))


def _paint(name: str) -> str:
    """A colour by its name: fixed ones as they are, the theme's as variables."""
    return COLOURS.get(name) or (f"var(--{name})" if name in LIGHT else name)


def _n(value: float) -> str:
    """A number in few characters: a tenth of a pixel is enough, but a hundredth of an opacity."""
    shown = f"{value:.1f}" if abs(value) >= 2 else f"{value:.2f}"
    return shown.rstrip("0").removesuffix(".")
