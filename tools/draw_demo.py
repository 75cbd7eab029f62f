"""Draw the README's picture from what a demo measured.

python tools/draw_demo.py carousel-demo/demo.json
"""

import io
import json
import re
import sys
from pathlib import Path

from rich.console import Console

from carousel.storage.atomic import write_file
from carousel.study.demo_report import report_demo

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def draw(demo: Path) -> str:
    """The demo's terminal output as an SVG that needs nothing from elsewhere."""
    result = json.loads(demo.read_text(encoding="utf-8"))
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    report_demo(console, result)
    svg = console.export_svg(title="carousel demo")
    # Rich's picture asks a server for its font; any font of the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    return svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


if __name__ == "__main__":
    demo = Path(sys.argv[1])
    write_file(IMAGES / "demo.svg", draw(demo))
    picture = (demo.parent / "accuracy-by-distance.png").read_bytes()
    write_file(IMAGES / "accuracy-by-distance.png", picture)
