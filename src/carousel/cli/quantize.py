"""``carousel quantize``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carousel.cli.parameters import MODEL, PATH, as_json, force, text_file_options

if TYPE_CHECKING:
    from carousel.quantization import QuantizationReport

NUMBER_FORMATS = {"int8": "int8", "bf16": "bfloat16"}
"""The values of ``--to`` and the names of the number formats."""


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL", help="A model folder, as training wrote it.")
@click.option(
    "--to",
    "number_format",
    type=click.Choice([*NUMBER_FORMATS]),
    required=True,
    help="8 bits a weight (int8), or 16 (bfloat16).",
)
@click.option("--out", type=PATH, metavar="DIR", required=True, help="The model folder to write.")
@click.option(
    "--on",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="Measure perplexity before and after on this text.",
)
@force
@text_file_options
@as_json
def quantize(
    model: str,
    number_format: str,
    out: Path,
    on: Sequence[str],
    force: bool,
    encoding: str,
    encoding_errors: str,
    skip_bad_files: bool,
    as_json: bool,
) -> None:
    """Write a model with fewer bits a weight, and report what that costs and gains."""
    from contextlib import nullcontext
    from dataclasses import asdict

    from carousel.cli.output import print_facts, print_json
    from carousel.cli.progress import progress_bar
    from carousel.quantization import quantize as write_quantized

    with progress_bar("evaluating") if on else nullcontext() as on_progress:
        report = write_quantized(
            model,
            out,
            NUMBER_FORMATS[number_format],
            on=on,
            encoding=encoding,
            encoding_errors=encoding_errors,
            skip_bad_files=skip_bad_files,
            force=force,
            on_progress=on_progress,
        )
    if as_json:
        print_json({"model": str(out), **asdict(report)})
    else:
        print_facts([*describe_report(report), ("saved in", str(out))])


def describe_report(report: QuantizationReport) -> list[tuple[str, str]]:
    """Return the lines that say what fewer bits cost and gained."""
    smaller = report.bytes_before / report.bytes_after
    faster = report.words_per_second_after / report.words_per_second_before
    rows = [
        (
            "size of the weights",
            f"{report.bytes_before:,} to {report.bytes_after:,} bytes: {smaller:.2f} times smaller",
        )
    ]
    if report.perplexity_before is not None and report.perplexity_after is not None:
        change = report.perplexity_after / report.perplexity_before - 1
        rows.append(
            (
                "perplexity",
                f"{report.perplexity_before:.3f} to {report.perplexity_after:.3f}: {change:+.2%}",
            )
        )
    rows.append(
        (
            "single steps",
            f"{report.words_per_second_before:,.0f} to {report.words_per_second_after:,.0f} "
            f"words/s: {faster:.2f} times as fast",
        )
    )
    return rows
