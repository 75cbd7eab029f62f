"""``carousel export``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import MODEL, PATH, as_json


@click.command()
@click.argument(
    "library",
    metavar="FORMAT",
    type=click.Choice(["onnx", "pytorch"]),
    help="The format: onnx or pytorch.",
)
@click.argument("model", metavar="MODEL", type=MODEL, help="A model folder.")
@click.option(
    "--out",
    type=PATH,
    metavar="FILE",
    required=True,
    help="The file to write: .onnx; .safetensors or .pt for PyTorch.",
)
@click.option("--gates", is_flag=True, help="ONNX: give every gate and state, named as in traces.")
@click.option(
    "--to",
    "dtype",
    type=click.Choice(["float32", "int8"]),
    help="ONNX: the numbers of the weights. [default: float32]",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@as_json
def export(
    library: str,
    model: str,
    out: Path,
    gates: bool,
    dtype: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write a model in another library's format: an ONNX graph, or a state dict for PyTorch.

    Beside a state dict it writes a small module that loads it, and the tokenizer.
    """
    from carousel.cli.output import print_json, print_line
    from carousel.convert.registry import export_model
    from carousel.pretrained import find_folder

    export_model(library, find_folder(model), out, gates=gates, dtype=dtype, force=force)
    size = out.stat().st_size
    if as_json:
        print_json({"file": str(out), "format": library, "bytes": size})
    else:
        print_line(f"Saved in {out} ({size:,} bytes)")
