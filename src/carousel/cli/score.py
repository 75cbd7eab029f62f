"""``carousel score``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carousel.cli.parameters import MODEL, as_json, model_option, text_file_options

if TYPE_CHECKING:
    from carousel.predict.score import Score


@click.command()
@click.argument(
    "arguments",
    metavar="[MODEL] [FILE...]",
    type=MODEL,
    nargs=-1,
    help="A model folder (without one: a model that comes with Carousel) and files, "
    "folders or globs of text. Without files, standard input is read as it comes.",
)
@model_option
@click.option("--words", is_flag=True, help="Show the log-probability of each token.")
@text_file_options
@as_json
def score(
    arguments: Sequence[str],
    model: str | None,
    words: bool,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    as_json: bool,
) -> None:
    """Score each line of a text: its log-probability and perplexity.

    Each line is read as a text of its own, with its end. The columns, with tabs between them, are
    log-probability (in nats), perplexity per token, tokens, unknown tokens, and the line (or, with
    --words, its tokens with their log-probabilities). Standard error has a summary.
    """
    from carousel.cli.arguments import is_model, load_model
    from carousel.cli.output import print_json
    from carousel.predict.score import score_batches
    from carousel.text.files import find_files
    from carousel.text.lines import read_line_batches
    from carousel.text.printable import printable_text

    files = list(arguments)
    if model is None and files and is_model(files[0]):
        model = files.pop(0)
    opened = load_model(model, [])
    reading = {"encoding": encoding, "encoding_errors": encoding_errors}
    sources: list[Any] = list(files) or ["-"]
    if skip_bad_files:
        sources = list(find_files(sources, skip_bad_files=True, **reading))
    lines, tokens, unknown, nats = 0, 0, 0, 0.0
    batches = read_line_batches(sources, **reading)
    for texts, scores in score_batches(opened.model, opened.tokenizer, batches):
        for text, scored in zip(texts, scores, strict=True):
            lines, tokens = lines + 1, tokens + len(scored.tokens)
            unknown, nats = unknown + scored.unknown, nats - scored.log_probability
            if as_json:
                print_json(to_row(text, scored, words=words))
            else:
                print(printable_text(to_columns(text, scored, words=words)))
        sys.stdout.flush()
    perplexity = math.exp(min(nats / max(tokens, 1), 700.0))
    print(
        f"carousel: {lines:,} lines, {tokens:,} tokens, {unknown / max(tokens, 1):.2%} unknown, "
        f"perplexity {perplexity:.4f}",
        file=sys.stderr,
    )


def to_row(text: str, scored: Score, *, words: bool) -> dict[str, Any]:
    """Return a line's score as plain data."""
    row = {
        "text": text,
        "log_probability": scored.log_probability,
        "perplexity": scored.perplexity,
        "perplexity_per_word": scored.perplexity_per_word,
        "tokens": len(scored.tokens),
        "words": scored.words,
        "unknown": scored.unknown,
    }
    if words:
        pairs = zip(scored.tokens, scored.log_probabilities.tolist(), strict=True)
        row["scores"] = [{"token": token, "log_probability": value} for token, value in pairs]
    return row


def to_columns(text: str, scored: Score, *, words: bool) -> str:
    """Return a line's score with tabs between the columns."""
    from carousel.text.printable import printable_word

    last = text
    if words:
        pairs = zip(scored.tokens, scored.log_probabilities.tolist(), strict=True)
        last = " ".join(f"{printable_word(token)} {value:.4f}" for token, value in pairs)
    numbers = f"{scored.log_probability:.4f}\t{scored.perplexity:.4f}"
    return f"{numbers}\t{len(scored.tokens)}\t{scored.unknown}\t{last}"
