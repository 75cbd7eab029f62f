"""``carousel evaluate``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import MODEL, adapt_option, as_json, text_file_options

if TYPE_CHECKING:
    from carousel.adaptation.adapted import AdaptName

RATES = {"unknown_rate", "keystrokes_saved", "recall_at_1", "recall_at_3", "recall_at_5"}
"""The values that are shown as per cent."""


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL", help="A model folder.")
@click.argument(
    "files",
    type=click.Path(),
    metavar="FILE...",
    nargs=-1,
    required=True,
    help="Text: files, folders, globs, .gz, or - for standard input.",
)
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="The text that the model was trained on: compare with a unigram and a 5-gram of it.",
)
@adapt_option
@text_file_options
@as_json
def evaluate(
    model: str,
    files: Sequence[str],
    baseline: Sequence[str],
    adapt: AdaptName | None,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    as_json: bool,
) -> None:
    """Measure a model on text: perplexity, recall of the next word, keystrokes saved."""
    from dataclasses import asdict

    from carousel.cli.output import print_facts, print_json
    from carousel.cli.progress import progress_bar
    from carousel.model import LanguageModel

    opened = LanguageModel.load(model)
    with progress_bar("evaluating") as on_progress:
        evaluation = opened.evaluate(
            files,
            baseline=baseline,
            encoding=encoding,
            encoding_errors=encoding_errors,
            skip_bad_files=skip_bad_files,
            adapt=adapt,
            on_progress=on_progress,
        )
    table = asdict(evaluation)
    if as_json:
        print_json(table)
        return
    rows = []
    for name, value in table.items():
        if value is not None:
            shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"
            rows.append((name.replace("_", " "), f"{value:.2%}" if name in RATES else shown))
    print_facts(rows)
    if not baseline:
        print(
            "To compare the perplexity: --baseline FILE, the text that\n"
            "the model was trained on, adds a unigram's and a 5-gram's",
            file=sys.stderr,
        )
