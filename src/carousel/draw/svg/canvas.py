"""SVG: shapes and text in a light theme, a dark one, or the one that the reader has."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from carousel.draw.palette import COLOURS, DARK, LIGHT
from carousel.draw.svg.text_width import fit, text_width, wrap
from carousel.errors import LensError
from carousel.storage.atomic import write_file

Theme = Literal["auto", "page", "light", "dark"]
LIGHT_NOTEBOOKS = ("[data-jp-theme-light=true]", "body.vscode-light", "html[theme=light]")
DARK_NOTEBOOKS = ("[data-jp-theme-light=false]", "body.vscode-dark", "html[theme=dark]")
"""How a page says which theme a notebook has: JupyterLab, VS Code and Colab."""

LINE_HEIGHT = 1.35
"""From one line of a paragraph to the next, in font sizes."""
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

    def paragraph(
        self, x: float, y: float, words: str, *, within: float, size: float = 13,
        fill: str = "ink", bold: bool = False,
    ) -> float:  # fmt: skip
        """Text on as many lines as it needs, the first on the base line ``y``.

        Returns:
            How far below ``y`` the next text may stand.
        """
        lines = wrap(words, within, size, bold=bold)
        for number, line in enumerate(lines):
            self.text(x, y + number * LINE_HEIGHT * size, line, size=size, fill=fill, bold=bold)
        return len(lines) * LINE_HEIGHT * size

    def place(self, other: Canvas, x: float, y: float) -> None:
        """Another drawing with its corner at ``x, y``."""
        self.shapes += [f'<g transform="translate({_n(x)} {_n(y)})">', *other.shapes, "</g>"]
        self.labels += [
            Label(label.x0 + x, label.y0 + y, label.x1 + x, label.y1 + y, label.words)
            for label in other.labels
        ]

    def to_string(self, theme: Theme = "auto") -> str:
        """The SVG's text.

        Args:
            theme: ``auto`` follows the notebook's or the system's light or dark, ``page`` takes the
                colours of the page around it; ``light`` and ``dark`` are fixed.
        """
        size = f'width="{_n(self.width)}" height="{_n(self.height)}"'
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="carousel" {size} '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" font-family="{FONT}" role="img">'
            f"<title>{_escape(self.title)}</title>{theme_style() if theme == 'auto' else ''}"
            f'<rect width="100%" height="100%" fill="var(--ground)"/>{"".join(self.shapes)}</svg>'
        )
        if theme in ("light", "dark"):
            for name, colour in (DARK if theme == "dark" else LIGHT).items():
                svg = svg.replace(f"var(--{name})", colour)
        return svg

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
        png = resvg_py.svg_to_bytes(
            svg_string=self.to_string(theme).replace(FONT, "DejaVu Sans"),
            zoom=scale,
            font_dirs=[str(fonts)],
            font_family="DejaVu Sans",
        )
        write_file(path, bytes(png))

    def _add(self, start: str, tag: str, hint: str = "") -> None:
        self.shapes.append(
            f"{start}><title>{_escape(hint)}</title></{tag}>" if hint else f"{start}/>"
        )


def stack(canvases: Sequence[Canvas], *, title: str, gap: float = 18) -> Canvas:
    """Drawings below each other."""
    stacked = Canvas(
        max(canvas.width for canvas in canvases),
        sum(canvas.height for canvas in canvases) + gap * (len(canvases) - 1),
        title=title,
    )
    y = 0.0
    for canvas in canvases:
        stacked.place(canvas, 0, y)
        y += canvas.height + gap
    return stacked


def theme_style() -> str:
    """A style element with the light and the dark colours, for a drawing that stands alone.

    A notebook's own theme goes before the system's, where the notebook says which it has:
    JupyterLab and Jupyter Notebook 7, VS Code, and Colab do.
    """
    light, dark = ("".join(f"--{k}:{v};" for k, v in t.items()) for t in (LIGHT, DARK))
    rules = (
        f".carousel{{{light}}}",
        f"@media(prefers-color-scheme:dark){{.carousel{{{dark}}}}}",
        *(f"{notebook} .carousel{{{light}}}" for notebook in LIGHT_NOTEBOOKS),
        *(f"{notebook} .carousel{{{dark}}}" for notebook in DARK_NOTEBOOKS),
    )
    return f"<style>{''.join(rules)}</style>"


def _rounded(points: Sequence[tuple[float, float]], radius: float) -> str:
    path = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (xa, ya), (x, y), (xb, yb) in zip(points, points[1:], points[2:], strict=False):
        before = max(abs(x - xa) + abs(y - ya), 1e-9)
        after = max(abs(xb - x) + abs(yb - y), 1e-9)
        r = min(radius, before / 2, after / 2)
        start = (x - (x - xa) / before * r, y - (y - ya) / before * r)
        end = (x + (xb - x) / after * r, y + (yb - y) / after * r)
        path += f"L{_n(start[0])} {_n(start[1])}Q{_n(x)} {_n(y)} {_n(end[0])} {_n(end[1])}"
    return path + f"L{_n(points[-1][0])} {_n(points[-1][1])}"


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
