"""``carousel import``."""

from __future__ import annotations

from pathlib import Path

import click

from carousel.cli.parameters import PATH, TEXT, as_json, force


@click.command("import")
@click.argument(
    "library",
    metavar="FORMAT",
    type=click.Choice(["pytorch", "keras", "onnx", "transformers"]),
    help="The format: pytorch, keras, onnx or transformers.",
)
@click.argument(
    "checkpoint",
    type=PATH,
    metavar="FILE",
    help="A state dict (.pt, .pth or .safetensors), a Keras model (.keras or .h5), a graph "
    "(.onnx), or a folder of transformers.",
)
@click.option(
    "--vocab",
    type=PATH,
    metavar="FILE",
    help="The tokens: one a line, or .json (list, {token: id}, tokenizer.json, Keras's "
    "Tokenizer.to_json). Without it, those in FILE.",
)
@click.option("--out", type=PATH, metavar="DIR", required=True, help="The model folder to write.")
@click.option(
    "--cell",
    type=click.Choice(["gru-reset-before"]),
    help="PyTorch: the cell, where weights don't show it: a GRU with the paper's reset gate.",
)
@click.option("--rnn", type=TEXT, metavar="NAME", help="PyTorch: the recurrent module.")
@click.option("--embedding", type=TEXT, metavar="NAME", help="PyTorch: the embedding.")
@click.option("--decoder", type=TEXT, metavar="NAME", help="PyTorch: the last linear layer.")
@click.option(
    "--projection", type=TEXT, metavar="NAME", help="PyTorch: a linear layer between them."
)
@click.option(
    "--tokenizer",
    "--tokens",
    "tokenizer",
    type=click.Choice(["words", "whitespace", "chars"]),
    help="How text is split into tokens.",
)
@click.option("--lowercase", is_flag=True, help="Convert texts to lower case.")
@click.option("--eol", type=TEXT, metavar="TOKEN", help="The token that ends a line.")
@click.option("--unk", type=TEXT, metavar="TOKEN", help="The token of unknown words.")
@click.option("--add-eol", is_flag=True, help="Add an end of line that is never predicted.")
@force
@as_json
def import_(
    library: str,
    checkpoint: Path,
    vocab: Path | None,
    out: Path,
    cell: str | None,
    rnn: str | None,
    embedding: str | None,
    decoder: str | None,
    projection: str | None,
    tokenizer: str | None,
    lowercase: bool,
    eol: str | None,
    unk: str | None,
    add_eol: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a model folder from a model of another library: PyTorch, Keras or ONNX.

    Nothing in a file is run: only weights are loaded.
    """
    from dataclasses import asdict

    from carousel.cli.output import print_json, print_line, print_next_step
    from carousel.convert.registry import import_model

    model, notes = import_model(
        library,
        checkpoint,
        vocab,
        out,
        cell=cell,
        rnn=rnn,
        embedding=embedding,
        decoder=decoder,
        projection=projection,
        tokens=tokenizer,
        lowercase=lowercase,
        eol=eol,
        unk=unk,
        add_eol=add_eol,
        force=force,
    )
    if as_json:
        print_json({"model": str(out), "notes": notes, **asdict(model.config)})
        return
    for note in notes:
        print_line(f"- {note}")
    print_line(f"Saved in {out}: {model!r}")
    print_next_step("evaluate", out, "FILE")
