"""Write the pages that come from the code: commands, settings and the API reference.

make docs
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
from collections.abc import Sequence
from pathlib import Path

import carousel
from carousel.cli import COMMANDS, run
from carousel.training.defaults import (
    CHARACTERS,
    CHOSEN,
    DROPOUTS,
    EMBEDDING_STD,
    MIN_COUNTS,
    MIN_PASSES,
    MIN_READS,
    PASSES,
    TOKENS_TO_READ,
    WORDS,
    Size,
)
from carousel.training.settings import RENAMED, describe_settings

DOCS = Path(__file__).parents[1] / "docs"

EXAMPLES = {
    "demo": [
        "carousel demo",
        "carousel demo --seed 2 --out another-demo",
        "carousel demo --names amir:he,bea:she --foods tea,milk,juice,cocoa --kinds same,switch "
        "--out my-demo",
    ],
    "train": [
        "carousel train stories.txt --out models/stories",
        "carousel train books/ --out models/books --epochs 20 --hidden-size 400 --dropout 0.3",
        "zcat log.gz | carousel train - --out models/log --max-minutes 10",
        "carousel train book.txt --recipe characters --out models/book",
        "carousel train --resume models/stories",
    ],
    "predict": [
        'carousel predict "krish likes pizza but his friend likes burger so his friend orders"',
        'carousel predict models/stories "krish likes" -k 3 --json',
        'carousel predict models/stories "krish likes piz" --complete',
        'carousel predict --model models/stories "krish likes pizza 1/2 and"',
        "carousel predict models/stories --input other-stories.txt -k 3",
        'carousel predict models/stories "krish likes" --adapt cache --session me.session',
        'carousel predict models/theirs "see you" --window 10',
        "carousel predict models/stories",
    ],
    "generate": [
        'carousel generate models/stories "krish likes" --temperature 0.8 --seed 1',
        'carousel generate models/stories "krish likes" --repetition-penalty 1.2 --no-repeat 3',
        'carousel generate models/stories "krish likes" --beam 4',
        "carousel generate models/stories --input other-stories.txt --samples 2 --json",
    ],
    "evaluate": [
        "carousel evaluate models/stories other-stories.txt",
        "carousel evaluate models/stories other-stories.txt --adapt cache",
        "carousel evaluate models/stories other-stories.txt --baseline stories.txt",
    ],
    "score": [
        "carousel score models/stories other-stories.txt",
        "zcat log.gz | carousel score models/stories --json --words",
    ],
    "serve": [
        "carousel serve stories-lstm",
        "carousel serve models/stories models/book --port 8080 --api-key-file keys.txt",
        "carousel serve models/stories --workers 2 --session-key-file sessions.key",
    ],
    "tune": ["carousel tune models/stories other-stories.txt --adapt cache"],
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
        'carousel explain models/stories "krish likes" --svg belt.svg --json',
    ],
    "compare": [
        "carousel compare stories-rnn stories-gru stories-lstm \\",
        '    "krish likes pizza but he does not like burger so he orders" --html three.html',
    ],
    "info": [
        "carousel info models/stories",
        "carousel info models/stories --words",
        "carousel info --json",
    ],
    "stories": [
        "carousel stories --count 20000 --out stories.txt",
        "carousel stories --held-out --seed 1 --out other-stories.txt",
        "carousel stories --names amir:he,bea:she --foods tea,milk,juice,cocoa --kinds same,switch",
        "carousel stories --held-out --count 100 --json",
    ],
    "cache": ["carousel cache", "carousel cache --clear"],
    "phrases": [
        'carousel phrases models/stories "krish likes pizza but his friend" --words 5:6 '
        "--in stories.txt --threshold 0.2",
        'carousel phrases models/book "\\"Yes,\\" he said." --words 1:6 --in book.txt --off-before',
    ],
    "page": ["carousel page", "carousel page models/stories stories-lstm --no-browser --port 8000"],
    "study": [
        "carousel study short-memory",
        "carousel study context-switch",
        "carousel study going-back --seeds 1 --out results",
        "carousel study characters --model models/book --text book.txt",
    ],
    "quantize": [
        "carousel quantize models/stories --to int8 --out models/stories-int8 "
        "--on other-stories.txt",
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
        if setting.name in CHOSEN:
            default = f"chosen; {default}" if default != "" else "chosen"
        rows.append(f"| `{setting.name}` | {default} | {setting.help} |")
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])


def sizes_table(sizes: Sequence[Size]) -> str:
    """The sizes that a run chooses from, a row each."""
    names = Size._fields[1:]
    rows = [f"| {size.min_tokens:,} | {' | '.join(map(str, size[1:]))} |" for size in sizes]
    heading = " | ".join(f"`{name}`" for name in names)
    return "\n".join([f"| from tokens | {heading} |", "| --: " * (len(names) + 1) + "|", *rows])


def choice() -> str:
    """How the settings that nobody gave are chosen, from the tables of ``training.defaults``."""
    dropouts = ", ".join(f"{p} up to {most:g} passes" for most, p in DROPOUTS[:-1])
    counts = ", ".join(f"{count} from {least:,} bytes" for least, count in reversed(MIN_COUNTS))
    return f"""## What is chosen

Where neither a recipe nor the setting itself is given, `carousel train` chooses it, and a line at
the start of the run says what it chose. In a recipe, a setting that is not named has the default
that stands behind *chosen* in the table above.

The size is the largest one that the text is long enough for and that can read enough of it in the
time there is: {MIN_PASSES:g} times the whole text, or {MIN_READS} times the tokens in its row. The
time is estimated from the number of weights. `batch_size` and `bptt` are those of the text's row,
whatever the time. Words and byte pairs:

{sizes_table(WORDS)}

Characters, which are not tied:

{sizes_table(CHARACTERS)}

- `epochs`: without `max_minutes`, as many passes as read {TOKENS_TO_READ:,} tokens in all, at least
  {PASSES[0]:g} and at most {PASSES[1]:g}.
- `dropout`: {dropouts}, then {DROPOUTS[-1][1]}. `input_dropout` is 0 for characters.
- `embedding_std`: {EMBEDDING_STD["words"]} ({EMBEDDING_STD["chars"]} for characters).
- `min_count` of words: {counts}; else 1. With a `vocab_size` it is 1.
- `tokenizer`: `whitespace` for text that spells `<unk>` out, since it is tokenized already; else
  `words`.
"""


def api_page() -> str:
    """The public names, which mkdocstrings fills in from their docstrings."""
    public = {name: getattr(carousel, name) for name in carousel.__all__ if name[0] != "_"}
    functions = [name for name, item in public.items() if inspect.isroutine(item)]
    classes = {name: item for name, item in public.items() if inspect.isclass(item)}
    errors = [name for name, item in classes.items() if issubclass(item, Exception)]
    parts = ["# API reference", "The public names of `carousel`: what `help()` shows, too."]
    for heading, names in (
        ("Functions", functions),
        ("Classes", [name for name in classes if name not in errors]),
        ("Errors and warnings", errors),
    ):
        # By where they are made: `carousel.load` is another name of a method.
        made = [f"{public[name].__module__}.{public[name].__qualname__}" for name in names]
        parts += [f"## {heading}", *(f"::: {name}" for name in made)]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """The text of each page by its path."""
    texts = {
        DOCS / "api.md": api_page(),
        DOCS / "settings.md": "# Settings\n\nThe settings of [a training run](training.md). Give "
        "them as flags, with `--set KEY=VALUE`, or in a recipe.\n\n"
        f"{settings_table()}\n\n{choice()}\nOld names are still read: "
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
