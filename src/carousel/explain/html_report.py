"""Parts of an HTML page that holds everything and asks nothing of anyone.

No script, font or picture comes from elsewhere. The page is whole without its own script, which
only steps through the words. It fits the window: drawings that depend on its width are there for
several widths, and the style sheet shows the one that fits.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence

from carousel.draw.palette import COLOURS, DARK, LIGHT
from carousel.draw.svg.canvas import Canvas
from carousel.text.printable import printable_text

WIDTHS = {358: (0, 767), 736: (768, 1023), 992: (1024, 1239), 1180: (1240, None)}
"""The widths in pixels for which a drawing is made, and the windows that show it (from, to)."""
NOTEBOOK_WIDTH = 800
"""The width in pixels below which the text of a drawing would be too small to read."""
STYLE = """
:root{color-scheme:light dark;LIGHT}
@media(prefers-color-scheme:dark){:root{DARK}}
body{background:var(--ground);color:var(--ink);margin:0 auto;max-width:1180px;padding:1rem;
font:16px/1.5 system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.4rem 0}h2{font-size:1.2rem;margin:2rem 0 .3rem}
h3{font-size:1rem;margin:.8rem 0 .2rem}p{max-width:48rem;margin:.4rem 0}
.about{color:var(--dim)}
figure{margin:.6rem 0}svg{max-width:100%;height:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%;max-width:34rem}
th,td{text-align:left;padding:.15rem .9rem .15rem 0;white-space:nowrap}
td.n{text-align:right;width:1%}
td.b{width:99%}td.b span{display:block;height:.9em;border-radius:2px;min-width:1px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem .9rem;max-width:48rem;
margin:.4rem 0}
dt{font-weight:600}dd{margin:0}
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


def escape(text: str) -> str:
    """Return text as HTML that shows it: neither markup nor a control character acts."""
    return html.escape(printable_text(text))


def page(title: str, about: str, parts: Iterable[str]) -> str:
    """A whole HTML page.

    Args:
        title: its heading.
        about: the line below it: which model this is.
        parts: the sections, as HTML.
    """
    light, dark = ("".join(f"--{k}:{v};" for k, v in table.items()) for table in (LIGHT, DARK))
    style = STYLE.replace("LIGHT", light).replace("DARK", dark) + _width_rules()
    heading = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        # Nothing is fetched, whatever a text may hold.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{heading}</title><style>{style}</style></head><body><h1>{heading}</h1>"
        f'<p class="about">{escape(about)}</p>\n'
        + "\n".join(parts)
        + "\n<footer>Drawn by Carousel.</footer>"
        + f"<script>{SCRIPT}</script></body></html>\n"
    )


def section(heading: str, about: str, *parts: str) -> str:
    """A heading, a sentence on how to read what follows, and what follows."""
    words = f"<p>{escape(about)}</p>" if about else ""
    return f"<section><h2>{escape(heading)}</h2>{words}{''.join(parts)}</section>"


def figure(draw: Callable[[float], Canvas]) -> str:
    """A drawing for every width of the window, in the page's own colours.

    Args:
        draw: makes the drawing for a width in pixels.
    """
    shown: dict[str, list[int]] = {}
    for width in WIDTHS:
        shown.setdefault(draw(width).to_string("page"), []).append(width)
    parts = (
        f'<div class="{" ".join(f"w w{width}" for width in widths)}">{svg}</div>'
        for svg, widths in shown.items()
    )
    return f"<figure>{''.join(parts)}</figure>"


def notebook_figure(canvas: Canvas, note: str = "") -> str:
    """A drawing in a notebook: in one that is too narrow for its text, it scrolls.

    Args:
        canvas: the drawing.
        note: HTML that stands below it.
    """
    narrowest = min(NOTEBOOK_WIDTH, round(canvas.width))
    svg = canvas.to_string().replace("<svg ", f'<svg style="min-width:{narrowest}px" ', 1)
    return f'<div><div style="overflow-x:auto">{svg}</div>{note}</div>'


def steps(canvases: Sequence[tuple[str, Canvas, str]]) -> str:
    """Drawings to step through, the last one first; all of them where there is no script.

    Args:
        canvases: of each the word on its button, the drawing, and its numbers in words, which a
            narrow window shows below the drawing, as it is small there.
    """
    parts = (
        f'<figure data-word="{escape(word)}">{canvas.to_string("page")}'
        f'<p class="w w358">{escape(numbers)}</p></figure>'
        for word, canvas, numbers in canvases
    )
    return f'<div class="steps">{"".join(parts)}</div>'


def rows(caption: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table; all but the first column stand to the right."""
    right = ' class="n"'
    lines = (
        "".join(
            f"<td{right if number else ''}>{escape(cell)}</td>" for number, cell in enumerate(line)
        )
        for line in body
    )
    return _table(caption, head, lines)


def bars(caption: str, shares: Iterable[tuple[str, float]], colours: Mapping[str, str]) -> str:
    """Next words with a bar and a probability each.

    Words below 0.1% are not listed one by one: the last row is what all others have together.

    Args:
        caption: what stands above.
        shares: words and their probabilities, the likeliest first.
        colours: the colour of some words, by its name in ``palette.COLOURS``.
    """
    listed = [(word, share) for word, share in shares if share >= 0.001]
    rest = max(0.0, 1 - sum(share for _, share in listed))
    lines = [
        f'<td>{escape(word)}</td><td class="b"><span style="width:{share:.1%};'
        f'background:{COLOURS.get(colours.get(word, ""), "var(--dim)")}"></span></td>'
        f'<td class="n">{share:.1%}</td>'
        for word, share in listed
    ]
    lines.append(
        '<td>all others</td><td class="b"><span style="background:var(--line);'
        f'width:{rest:.1%}"></span></td><td class="n">{rest:.1%}</td>'
    )
    return _table(caption, ("next word", "", "probability"), lines)


def definitions(meanings: Mapping[str, str]) -> str:
    """A list of signs and what they mean."""
    entries = (
        f"<dt>{escape(sign)}</dt><dd>{escape(meaning)}</dd>" for sign, meaning in meanings.items()
    )
    return f"<dl>{''.join(entries)}</dl>"


def _table(caption: str, head: Sequence[str], lines: Iterable[str]) -> str:
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    above = f"<h3>{escape(caption)}</h3>" if caption else ""
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _width_rules() -> str:
    """The style rules that show each drawing in the windows that it fits."""
    rules = [".w{display:none}"]
    for width, (low, high) in WIDTHS.items():
        windows = f"(min-width:{low}px)" + (f" and (max-width:{high}px)" if high else "")
        rules.append(f"@media{windows}{{.w{width}{{display:block}}}}")
    return "".join(rules)
