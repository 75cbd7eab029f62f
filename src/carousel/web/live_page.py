"""The page with one model inside, to be saved or shown in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from carousel.draw.svg.belt import draw_belt
from carousel.errors import LensError
from carousel.inference.model import RecurrentLM
from carousel.lens.names import cell_of
from carousel.lens.summary import first_words
from carousel.lens.trace import trace_text
from carousel.storage.atomic import write_file
from carousel.storage.safetensors import write_weights
from carousel.text.tokenizer import Tokenizer
from carousel.web.one_file import write_page

CLAMP = re.compile(
    r"(layers\.\d{1,2}\.)?(forget|input|output|update|reset)(:[\d,-]+)?"
    r"(=[01]|~[01]:(0?\.\d+|[01]))@\d+(-\d+)?"
)
"""The clamps that the page has handles for; as ``state.js`` reads them."""
DRAWN_WORDS = 40
"""So many words of a text are drawn for a notebook that shows no frames."""


class LivePage:
    """The page with a model inside, as one HTML file; ``LanguageModel.page`` makes it.

    A notebook shows it in a frame of its own. Where a saved notebook is shown without frames, the
    drawing of the belt stands in its place.

    Args:
        html: the text of the file.
        drawing: the belt as SVG; None for a plain RNN, which has none.
    """

    def __init__(self, html: str, drawing: str | None = None) -> None:
        self.html = html
        """The text of the file."""
        self.drawing = drawing
        """The belt as SVG, or None."""

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            FolderError: it can't be written.
        """
        write_file(path, self.html)

    def _repr_html_(self) -> str:
        return (
            '<iframe title="Carousel" style="width:100%;height:900px;border:0" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def _repr_svg_(self) -> str | None:
        return self.drawing

    @classmethod
    def of(
        cls,
        model: RecurrentLM,
        tokenizer: Tokenizer,
        text: str,
        *,
        other: str = "",
        clamps: Sequence[str] = (),
        compare: tuple[str, str] | None = None,
        name: str = "model",
    ) -> LivePage:
        """Put a model into the page.

        Args:
            model: the model.
            tokenizer: its tokenizer.
            text: what the page reads first.
            other: a second text to compare it with.
            clamps: gates that are held, as the page holds them: all the way or in part, at
                positions (``"forget=1@5-8"``, ``"layers.1.output~0:0.5@3"``).
            compare: two next words that are weighed against each other.
            name: what the model is called.

        Raises:
            LensError: a clamp of another kind.
        """
        for clamp in clamps:
            check_clamp(clamp)
        link = [("model", name), ("text", text)]
        link += [("other", other), ("view", "two")] if other else []
        link += [("hold", clamp) for clamp in clamps]
        link += [("word", word) for word in compare or ()]
        config = model.config
        shapes, tiled = config.weight_shapes(), config.tiled_matrices()
        weights = {key: model.stored[key] for key in shapes}
        files = {
            "config.json": config.to_json().encode(),
            "model.safetensors": write_weights(weights, shapes, config.dtype, tiled),
            "tokenizer.json": tokenizer.to_json().encode(),
        }
        return cls(write_page({name: files}, urlencode(link)), _draw(model, tokenizer, text))


def _draw(model: RecurrentLM, tokenizer: Tokenizer, text: str) -> str | None:
    """The belt while the text is read, without clamps; None where there is none to draw."""
    if not cell_of(model.config).has_belt:
        return None
    trace = first_words(trace_text(model, tokenizer, text, logits=False), DRAWN_WORDS)
    return draw_belt(trace).to_string() if len(trace) > 1 else None


def check_clamp(text: str) -> None:
    """Check that the page can show a clamp: its handles move gates toward 0 or 1, at positions.

    Raises:
        LensError: a clamp of another kind.
    """
    if not CLAMP.fullmatch(text):
        raise LensError(
            f"the page can't show {text!r}: it holds a gate toward 0 or 1 at positions, as in "
            "forget=1@5-8 or output~0:0.5@3"
        )
