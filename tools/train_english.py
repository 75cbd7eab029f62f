"""Make the model ``english`` again: train it, quantize it, and write its folder with its card.

    python tools/train_english.py SELF_DIALOGUE [--minutes 70] [--out DIR]

``SELF_DIALOGUE`` is a folder with ``train.txt``, ``valid.txt`` and ``LICENSE``. The figures in the
card are those of the run: they are measured on ``valid.txt``, from the folder that was written.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from carousel.evaluate import Evaluation
from carousel.model import LanguageModel
from carousel.pretrained import ENGLISH, PRETRAINED
from carousel.quantization import quantize
from carousel.storage.atomic import write_file
from carousel.training.job import train_model
from carousel.training.run.progress_reporter import ConsoleReporter

FIGURES = {
    "perplexity": "perplexity per token",
    "unknown_rate": "unknown tokens",
    "recall_at_1": "next word, first suggestion",
    "recall_at_3": "next word, among three",
    "keystrokes_saved": "keystrokes saved",
}
"""What the card tells of an evaluation."""


def main() -> None:
    """Train, quantize, measure, and write the folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, metavar="SELF_DIALOGUE")
    parser.add_argument("--minutes", type=float, default=70.0)
    parser.add_argument("--model", type=Path, help="a trained folder; without it, one is trained")
    parser.add_argument("--out", type=Path, default=PRETRAINED / ENGLISH)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trained = arguments.model or Path(folder) / ENGLISH
        if arguments.model is None:
            with ConsoleReporter() as reporter:
                train_model(
                    [arguments.data / "train.txt"],
                    valid=[arguments.data / "valid.txt"],
                    out=trained,
                    recipe="keyboard",
                    settings={"max_minutes": arguments.minutes},
                    reporter=reporter,
                )
        quantize(trained, arguments.out, "int8", force=True)
    (arguments.out / "learning-curve.png").unlink(missing_ok=True)  # larger than the words
    evaluation = LanguageModel.load(arguments.out).evaluate([arguments.data / "valid.txt"])
    write_file(arguments.out / "README.md", make_card(evaluation, arguments.data))


def make_card(evaluation: Evaluation, data: Path) -> str:
    """The model's card: what is written by hand, with the figures and the licence put in."""
    template = (PRETRAINED / "english-card.md").read_text(encoding="utf-8")
    rows = [
        f"| {label} | {getattr(evaluation, name):.1f} |"
        if name == "perplexity"
        else f"| {label} | {getattr(evaluation, name):.1%} |"
        for name, label in FIGURES.items()
    ]
    licence = (data / "LICENSE").read_text(encoding="utf-8").strip()
    return template.replace("FIGURES", "\n".join(rows)).replace("LICENCE", licence)


if __name__ == "__main__":
    main()
