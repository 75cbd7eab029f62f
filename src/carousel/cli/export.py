"""``carousel export``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import MODEL, PATH, as_json


@click.command()
@click.argument(
    "library",
    metavar="FORMAT",
    type=click.Choice(["onnx", "pytorch", "transformers"]),
    help="The format: onnx, pytorch or transformers.",
)
@click.argument("model", metavar="MODEL", type=MODEL, help="A model folder.")
@click.option(
    "--out",
    type=PATH,
    metavar="PATH",
    required=True,
    help="What to write: an .onnx file; a .safetensors or .pt file for PyTorch; a folder for "
    "transformers.",
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
    """Write a model in another library's format.

    An ONNX graph; a state dict for PyTorch, with a small module that loads it and the tokenizer; a
    folder of Hugging Face transformers.
    """
    from carousel.cli.output import print_json, print_line
    from carousel.convert.registry import export_model
    from carousel.pretrained import find_folder

    export_model(library, find_folder(model), out, gates=gates, dtype=dtype, force=force)
    files = [path for path in out.iterdir() if path.is_file()] if out.is_dir() else [out]
    size = sum(path.stat().st_size for path in files)
    if as_json:
        print_json({"file": str(out), "format": library, "bytes": size})
    else:
        print_line(f"Saved in {out} ({size:,} bytes)")
