"""Write the pages that come from the code: each command's help, and the table of settings.

make docs
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import os
from pathlib import Path

from carousel.cli import COMMANDS, run
from carousel.training.settings import Settings

DOCS = Path(__file__).parent

EXAMPLES = {
    "demo": ["carousel demo", "carousel demo --seed 1 --out another-demo"],
    "train": [
        "carousel train notes.txt --out models/notes",
        "carousel train books/ --out models/books --epochs 20 --hidden-size 400 --dropout 0.3",
        "zcat log.gz | carousel train - --out models/log --minutes 10",
        "carousel train book.txt --recipe characters --out models/book",
        "carousel train --resume models/notes",
    ],
    "predict": [
        'carousel predict "krish likes pizza but his friend likes burger so his friend orders"',
        'carousel predict models/notes "see you" -k 3 --json',
        'carousel predict models/notes "see you tom" --complete',
        "carousel predict models/notes",
    ],
    "generate": [
        'carousel generate models/notes "see you" --temperature 0.8 --seed 1',
    ],
    "evaluate": ["carousel evaluate models/notes other-notes.txt"],
    "import": [
        "carousel import pytorch model.pt --vocab vocab.txt --out models/theirs",
        "carousel import pytorch model.safetensors --vocab vocab.json --out models/theirs "
        "--rnn rnn --embedding encoder --decoder decoder",
    ],
    "explain": [
        'carousel explain "krish likes pizza but his friend likes burger so his friend orders"',
        'carousel explain "krish likes pizza but he does not like burger so he orders" \\',
        '    "krish likes pizza but his friend likes burger so his friend orders" --html two.html',
        'carousel explain "krish likes pizza but his friend likes burger so his friend orders" \\',
        "    --clamp forget=1@so --compare pizza,burger",
        'carousel explain models/notes "see you" --svg belt.svg --json',
    ],
    "compare": [
        "carousel compare stories-rnn stories-gru stories-lstm \\",
        '    "krish likes pizza but he does not like burger so he orders" --html three.html',
    ],
    "info": ["carousel info models/notes", "carousel info --json"],
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
    (body,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(body, ast.ClassDef)
    meaning = {
        field.target.id: " ".join(text.value.value.split())
        for field, text in zip(body.body, body.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    rows = [
        f"| `{field.name}` | {'' if field.default is None else field.default} "
        f"| {meaning[field.name]} |"
        for field in dataclasses.fields(Settings)
    ]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def pages() -> dict[Path, str]:
    """The text of each page by its path."""
    made = {
        DOCS / "settings.md": "# Settings\n\nOf [a training run](training.md): by flag, by `--set "
        f"KEY=VALUE`, or in a recipe.\n\n{settings_table()}\n"
    }
    for command in COMMANDS:
        name = command.__name__
        examples = "\n".join(EXAMPLES[name])
        made[DOCS / "commands" / f"{name}.md"] = (
            f"# carousel {name}\n\n```\n{help_of(name)}\n```\n\nExamples:\n\n```\n{examples}\n```\n"
        )
    return made


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path)
