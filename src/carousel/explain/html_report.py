"""One HTML page that holds everything and asks nothing of anyone: no script, font or picture from
elsewhere. It is whole without its script, which only steps through the words.
"""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from carousel.draw.svg.canvas import DARK, LIGHT, Canvas, stack
from carousel.storage.atomic import write_file

STYLE = """
:root{color-scheme:light dark;LIGHT}
@media(prefers-color-scheme:dark){:root{DARK}}
body{background:var(--ground);color:var(--ink);margin:0 auto;max-width:1240px;padding:1rem;
font:16px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin:2rem 0 .3rem}p{max-width:48rem;margin:.4rem 0}
figure{margin:.6rem 0;overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.15rem .9rem .15rem 0}
h3{font-size:1rem;margin:.8rem 0 .2rem}
td.n{text-align:right}
button{font:inherit;color:inherit;background:var(--soft);border:1px solid var(--line);
border-radius:.4rem;padding:.2rem .8rem;margin:0 .4rem .4rem 0;cursor:pointer}
button:focus-visible{outline:3px solid #56B4E9}
button[aria-pressed=true]{border-color:var(--ink);font-weight:600}
nav{margin:.5rem 0}footer{color:var(--dim);margin-top:2rem}
"""
# Shows one figure at a time; the arrow keys step.
SCRIPT = """
for(const steps of document.querySelectorAll('.steps')){
const figures=[...steps.querySelectorAll('figure')],nav=document.createElement('nav');
const buttons=figures.map((figure,k)=>{const b=document.createElement('button');
b.type='button';b.textContent=figure.dataset.word;b.onclick=()=>show(k);nav.append(b);return b});
let now=0;
function show(k){now=(k+figures.length)%figures.length;
figures.forEach((f,j)=>{f.hidden=j!==now});
buttons.forEach((b,j)=>b.setAttribute('aria-pressed',String(j===now)))}
nav.addEventListener('keydown',e=>{
const by={ArrowRight:1,ArrowLeft:-1}[e.key];
if(by){show(now+by);buttons[now].focus();e.preventDefault()}});
steps.prepend(nav);show(figures.length-1)}
"""


class Report(ABC):
    """What can be shown everywhere: in a terminal, a notebook, as SVG, PNG, HTML or data."""

    title: str

    @abstractmethod
    def lines(self, width: int = 80, units: int = 3) -> Iterator[Text]:
        """The lines of the picture in a terminal of ``width`` columns."""

    @abstractmethod
    def pictures(self) -> list[Canvas]:
        """The drawings that are saved as SVG and PNG."""

    @abstractmethod
    def to_html(self) -> str:
        """The whole page."""

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """The numbers as plain data, for JSON."""

    def picture(self) -> Canvas:
        """All drawings on one canvas."""
        return stack(self.pictures(), title=self.title)

    def write_html(self, path: str | Path) -> None:
        """Write the page.

        Raises:
            FolderError: it can't be written.
        """
        write_file(path, self.to_html())

    def write_svg(self, path: str | Path) -> None:
        """Write the drawings, in the reader's light or dark.

        Raises:
            FolderError: it can't be written.
        """
        self.picture().save(path)

    def write_png(self, path: str | Path) -> None:
        """Write the drawings.

        Raises:
            LensError: resvg is not installed.
            FolderError: it can't be written.
        """
        self.picture().save_png(path)

    def _repr_html_(self) -> str:
        return f"<div>{self.picture().to_string()}</div>"


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML page of sections."""
    light, dark = ("".join(f"--{k}:{v};" for k, v in table.items()) for table in (LIGHT, DARK))
    style = STYLE.replace("LIGHT", light).replace("DARK", dark)
    shown = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        # Nothing is fetched, whatever a text may hold.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{shown}</title><style>{style}</style></head><body><h1>{shown}</h1>\n"
        + "\n".join(parts)
        + "\n<footer>Drawn by Carousel.</footer>"
        + f"<script>{SCRIPT}</script></body></html>\n"
    )


def section(heading: str, about: str, *parts: str) -> str:
    """A heading, a sentence on how to read what follows, and what follows."""
    words = f"<p>{html.escape(about)}</p>" if about else ""
    return f"<section><h2>{html.escape(heading)}</h2>{words}{''.join(parts)}</section>"


def figure(canvas: Canvas) -> str:
    """A drawing in a page's own colours."""
    return f"<figure>{canvas.to_string('page')}</figure>"


def steps(canvases: Sequence[tuple[str, Canvas]]) -> str:
    """Drawings to step through by their names, the last one first; all of them without a script."""
    parts = (
        f'<figure data-word="{html.escape(word)}">{canvas.to_string("page")}</figure>'
        for word, canvas in canvases
    )
    return f'<div class="steps">{"".join(parts)}</div>'


def rows(caption: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table; all but the first column stand to the right."""
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    right = ' class="n"'
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{right if number else ''}>{html.escape(cell)}</td>"
            for number, cell in enumerate(line)
        )
        + "</tr>"
        for line in body
    )
    above = f"<h3>{html.escape(caption)}</h3>" if caption else ""
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
