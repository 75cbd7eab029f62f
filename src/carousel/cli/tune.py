"""``carousel tune``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import MODEL, as_json, text_file_options

if TYPE_CHECKING:
    from carousel.adaptation.adapted import AdaptName


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL", help="A model folder.")
@click.argument(
    "files",
    type=click.Path(),
    metavar="FILE...",
    nargs=-1,
    required=True,
    help="Validation text: files, folders, globs, .gz, or - for standard input.",
)
@click.option(
    "--adapt",
    type=click.Choice(["cache", "dynamic"]),
    default="cache",
    show_default=True,
    help="What to tune: the memory of the last words, or learning while reading (needs PyTorch).",
)
@text_file_options
@as_json
def tune(
    model: str,
    files: Sequence[str],
    adapt: AdaptName,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    as_json: bool,
) -> None:
    """Choose on validation text how a model adapts, and keep that in its folder.

    The other commands use it with --adapt. The weights stay as they are.
    """
    from dataclasses import asdict

    from carousel.adaptation.tuning import tune as tune_model
    from carousel.cli.output import print_facts, print_json
    from carousel.cli.progress import progress_bar
    from carousel.errors import SettingsError
    from carousel.model import LanguageModel
    from carousel.pretrained import PRETRAINED
    from carousel.text.files import find_files

    opened = LanguageModel.load(model)
    folder = opened.path
    assert folder is not None  # a loaded model has one
    if folder.resolve().parent == PRETRAINED.resolve():
        raise SettingsError(f"{model} comes with Carousel and is not changed: tune a copy of it")
    reading = {"encoding": encoding, "encoding_errors": encoding_errors}
    with progress_bar("tuning") as on_progress:
        tuning = tune_model(
            opened.model,
            opened.tokenizer,
            find_files(files, skip_bad_files=skip_bad_files, **reading),
            folder,
            adapt,
            on_progress=on_progress,
            **reading,
        )
    parameters = {name.rstrip("_"): value for name, value in asdict(tuning.parameters).items()}
    before, after = tuning.perplexity_before, tuning.perplexity_after
    measured = {"tokens": tuning.tokens, "perplexity_before": before, "perplexity_after": after}
    if as_json:
        print_json({"model": str(folder), "adapt": adapt, **parameters, **measured})
        return
    rows = [(name.replace("_", " "), f"{value:g}") for name, value in parameters.items()]
    rows += [("tokens", f"{tuning.tokens:,}")]
    rows += [("perplexity before", f"{before:,.4f}"), ("perplexity after", f"{after:,.4f}")]
    print_facts(rows)
