"""Write the pages that come from the code: commands, settings and the API reference.

make docs
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

from api_reference import reference

import carousel
from carousel.cli import COMMANDS, run
from carousel.training.settings import RENAMED, describe_settings

DOCS = Path(__file__).parents[1] / "docs"

EXAMPLES = {
    "demo": ["carousel demo", "carousel demo --seed 1 --out another-demo"],
    "train": [
        "carousel train notes.txt --out models/notes",
        "carousel train books/ --out models/books --epochs 20 --hidden-size 400 --dropout 0.3",
        "zcat log.gz | carousel train - --out models/log --max-minutes 10",
        "carousel train book.txt --recipe characters --out models/book",
        "carousel train --resume models/notes",
    ],
    "predict": [
        'carousel predict "krish likes pizza but his friend likes burger so his friend orders"',
        'carousel predict models/notes "see you" -k 3 --json',
        'carousel predict models/notes "see you tom" --complete',
        'carousel predict --model models/notes "see you at 1/2 past ten"',
        "carousel predict models/notes --input other-notes.txt -k 3",
        'carousel predict models/notes "see you" --adapt cache --session me.session',
        'carousel predict models/theirs "see you" --window 10',
        "carousel predict models/notes",
    ],
    "generate": [
        'carousel generate models/notes "see you" --temperature 0.8 --seed 1',
        'carousel generate models/notes "see you" --repetition-penalty 1.2 --no-repeat 3',
        'carousel generate models/notes "see you" --beam 4',
        "carousel generate models/notes --input other-notes.txt --samples 2 --json",
    ],
    "evaluate": [
        "carousel evaluate models/notes other-notes.txt",
        "carousel evaluate models/notes other-notes.txt --adapt cache",
    ],
    "score": [
        "carousel score models/notes other-notes.txt",
        "zcat log.gz | carousel score models/notes --json --words",
    ],
    "serve": [
        "carousel serve stories-lstm",
        "carousel serve models/notes models/book --port 8080 --api-key-file keys.txt",
        "carousel serve models/notes --workers 2 --session-key-file sessions.key",
    ],
    "tune": ["carousel tune models/notes other-notes.txt --adapt cache"],
    "import": [
        "carousel import pytorch model.pt --vocab vocab.txt --out models/theirs",
        "carousel import pytorch model.safetensors --vocab vocab.json --out models/theirs "
        "--rnn rnn --embedding encoder --decoder decoder",
        "carousel import keras model.keras --vocab tokenizer.json --out models/theirs",
        "carousel import onnx model.onnx --out models/theirs",
    ],
    "export": [
        "carousel export onnx models/notes --out notes.onnx --force",
        "carousel export onnx models/notes --out notes-gates.onnx --gates --force",
        "carousel export onnx models/notes --out notes-int8.onnx --to int8 --force",
        "carousel export pytorch models/notes --out notes.safetensors --force",
    ],
    "check": ["carousel check models/notes"],
    "explain": [
        'carousel explain "krish likes pizza but his friend likes burger so his friend orders"',
        'carousel explain "krish likes pizza but he does not like burger so he orders" \\',
        '    "krish likes pizza but his friend likes burger so his friend orders" --html two.html',
        'carousel explain "krish likes pizza but his friend likes burger so his friend orders" \\',
        "    --clamp input=0@burger --clamp forget=1@burger --compare pizza,burger",
        'carousel explain models/notes "see you" --svg belt.svg --json',
    ],
    "compare": [
        "carousel compare stories-rnn stories-gru stories-lstm \\",
        '    "krish likes pizza but he does not like burger so he orders" --html three.html',
    ],
    "info": [
        "carousel info models/notes",
        "carousel info models/notes --words",
        "carousel info --json",
    ],
    "cache": ["carousel cache", "carousel cache --clear"],
    "phrases": [
        'carousel phrases models/notes "see you at the station tomorrow" --words 3:5 '
        "--in notes.txt --threshold 0.2",
        'carousel phrases models/book "\\"Yes,\\" he said." --words 1:6 --in book.txt --off-before',
    ],
    "page": ["carousel page", "carousel page models/notes stories-lstm --no-browser --port 8000"],
    "study": [
        "carousel study short-memory",
        "carousel study context-switch",
        "carousel study going-back --seeds 1 --out results",
        "carousel study characters --model models/book --text book.txt",
    ],
    "quantize": [
        "carousel quantize models/notes --to int8 --out models/notes-int8 --on other-notes.txt",
        "carousel quantize stories-lstm --to bf16 --out stories-bf16 --json",
    ],
}


def help_of(command: str) -> str:
    """What ``carousel COMMAND --help`` prints on a terminal of 80 columns."""
    printed = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        with contextlib.redirect_stdout(printed):
            run([command, "--help"])
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def settings_table() -> str:
    """Every setting with its default and meaning, from the class that holds them."""
    rows = []
    for setting in describe_settings():
        default = "" if setting.default is None else setting.default
        rows.append(f"| `{setting.name}` | {default} | {setting.help} |")
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def pages() -> dict[Path, str]:
    """The text of each page by its path."""
    texts = {
        DOCS / "api.md": reference(carousel),
        DOCS / "settings.md": "# Settings\n\nThe settings of [a training run](training.md). Give "
        "them as flags, with `--set KEY=VALUE`, or in a recipe.\n\n"
        f"{settings_table()}\n\nOld names are still read: "
        f"{', '.join(f'`{old}` is `{new}`' for old, new in RENAMED.items())}.\n",
    }
    for name in COMMANDS:
        examples = "\n".join(EXAMPLES[name])
        texts[DOCS / "commands" / f"{name}.md"] = (
            f"# carousel {name}\n\n```\n{help_of(name)}\n```\n\nExamples:\n\n```\n{examples}\n```\n"
        )
    return texts


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
