"""Make the model ``english`` again: train it, quantize it, and write its folder with its card.

    python tools/train_english.py SELF_DIALOGUE NOVELS [--minutes 70] [--out DIR]

``SELF_DIALOGUE`` is a folder with ``train.txt``, ``valid.txt`` and ``LICENSE``, and ``NOVELS`` one
with a ``valid.txt`` of another kind of text. The figures in the card are those of the run: they are
measured on both ``valid.txt``, from the folder that was written.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from carousel.model import LanguageModel
from carousel.pretrained import ENGLISH, PRETRAINED
from carousel.quantization import quantize
from carousel.storage.atomic import write_file
from carousel.storage.truecase import TRUECASE_FILE, forms_to_json
from carousel.text.tokenizer import Tokenizer
from carousel.text.truecase import TruecasedLine, count_forms, written_tokens
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
CASE_FIGURES = ("words as they are written: all in lower case", "with the capitals put back")
EMAIL = re.compile(r"[\w.]+@[\w.]+[.]\w+")
TELEPHONE = re.compile(r"\b\d{3}[-. ]\d{3}[-. ]\d{4}\b")
COARSE = ("ass", "bitch", "crap", "damn", "dick", "shit")


def main() -> None:
    """Train, quantize, measure, and write the folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("data", type=Path, metavar="SELF_DIALOGUE")
    parser.add_argument("novels", type=Path, metavar="NOVELS")
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
    tokenizer = LanguageModel.load(arguments.out).tokenizer
    text = (arguments.data / "train.txt").read_text(encoding="utf-8")
    forms = count_forms(tokenizer, text.split("\n"))
    write_file(arguments.out / TRUECASE_FILE, forms_to_json(forms))
    model = LanguageModel.load(arguments.out)
    card = make_card(model, text, arguments.data, arguments.novels)
    write_file(arguments.out / "README.md", card)


def make_card(model: LanguageModel, text: str, data: Path, novels: Path) -> str:
    """The model's card: what is written by hand, with the figures and the licence put in."""
    template = (Path(__file__).parent / "english_card.md").read_text(encoding="utf-8")
    columns = [measure(model, folder / "valid.txt") for folder in (data, novels)]
    rows = [
        " | ".join(("", label, *(c[label] for c in columns), "")).strip() for label in columns[0]
    ]
    licence = (data / "LICENSE").read_text(encoding="utf-8").strip()
    survey = "\n".join(f"- {line}" for line in survey_text(text, model.tokenizer))
    for mark, put in (("FIGURES", "\n".join(rows)), ("SURVEY", survey), ("LICENCE", licence)):
        template = template.replace(mark, put)
    return template


def measure(model: LanguageModel, path: Path) -> dict[str, str]:
    """The model's figures on a text, as the card shows them, by what they are called."""
    evaluation = model.evaluate([path])
    figures = {label: f"{getattr(evaluation, name):.1%}" for name, label in FIGURES.items()}
    figures[FIGURES["perplexity"]] = f"{evaluation.perplexity:.1f}"
    lines = path.read_text(encoding="utf-8").split("\n")
    shares = measure_case(model.tokenizer, lines)
    return figures | {
        name: f"{share:.1%}" for name, share in zip(CASE_FIGURES, shares, strict=True)
    }


def measure_case(tokenizer: Tokenizer, lines: Iterable[str]) -> tuple[float, float]:
    """The share of known words that are written as a text has them: lowered, and truecased."""
    words = lower = restored = 0
    for line in lines:
        truecased = TruecasedLine(tokenizer.forms)
        for token, written in written_tokens(tokenizer, line):
            guess = truecased.write(token)
            if token[0].isalpha():
                words += 1
                lower += token == written
                restored += guess == written
    return lower / words, restored / words


def survey_text(text: str, tokenizer: Tokenizer) -> list[str]:
    """What a person may want to know of a text before its model is given away, a line each."""
    words = Counter(re.findall(r"[a-z']+", text.lower()))
    inside = Counter(re.findall(r"(?<=[a-z,] )[A-Za-z][a-z]+", text))
    names = [
        word
        for word in tokenizer.tokens()
        if inside[word.capitalize()] >= 5 and inside[word.capitalize()] > 3 * inside[word]
    ]
    coarse = [f"{word} ({words[word]})" for word in COARSE if tokenizer.id(word) is not None]
    return [
        f"e-mail addresses: {len(EMAIL.findall(text))}",
        f"telephone numbers: {len(TELEPHONE.findall(text))}",
        f"words of the vocabulary that are mostly written as names: {len(names):,}",
        f"coarse words that it knows, and how often the text has them: {', '.join(coarse)}",
    ]


if __name__ == "__main__":
    main()
