"""``carousel import``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class Format(enum.StrEnum):
    """Whose models can be taken over."""

    PYTORCH = "pytorch"


class Cut(enum.StrEnum):
    """How a listed vocabulary's text is cut."""

    WORDS = "words"
    WHITESPACE = "whitespace"
    CHARS = "chars"


def import_(
    format_: Annotated[Format, typer.Argument(metavar="FORMAT", help="pytorch.")],
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A state dict: .pt, .pth or .safetensors.")
    ],
    out: Annotated[Path, typer.Option(help="The model folder to write.")],
    vocab: Annotated[
        Path | None,
        typer.Option(
            help="The tokens: one a line, or .json (list, {token: id}, tokenizer.json). "
            "Without it, those in the checkpoint."
        ),
    ] = None,
    rnn: Annotated[str | None, typer.Option(help="Name of the recurrent module.")] = None,
    embedding: Annotated[str | None, typer.Option(help="Name of the embedding.")] = None,
    decoder: Annotated[str | None, typer.Option(help="Name of the last linear layer.")] = None,
    projection: Annotated[
        str | None, typer.Option(help="Name of a linear layer between them.")
    ] = None,
    tokens: Annotated[Cut | None, typer.Option(help="How text is cut into tokens.")] = None,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Lower upper case in texts.")
    ] = False,
    eol: Annotated[str | None, typer.Option(help="The token that ends a line.")] = None,
    unk: Annotated[str | None, typer.Option(help="The token of unknown words.")] = None,
    add_eol: Annotated[
        bool, typer.Option("--add-eol", help="Add an end of line that is never predicted.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Make a model folder of another library's model: embedding, RNN, GRU or LSTM, linear.

    Parts are found by shape and name. Nothing in a file is run: only weights are loaded.
    """
    import json
    from dataclasses import asdict

    from rich.console import Console

    from carousel.convert.registry import import_model

    model, notes = import_model(
        format_.value,
        checkpoint,
        vocab,
        out,
        rnn=rnn,
        embedding=embedding,
        decoder=decoder,
        projection=projection,
        tokens=tokens,
        lowercase=lowercase,
        eol=eol,
        unk=unk,
        add_eol=add_eol,
        force=force,
    )
    if json_:
        print(json.dumps({"model": str(out), "notes": notes, **asdict(model.config)}))
        return
    console = Console(highlight=False, markup=False)
    for note in notes:
        console.print(f"- {note}", soft_wrap=True)
    console.print(f"Saved in {out}: {model!r}", soft_wrap=True)
    console.print(f"Next: carousel evaluate {out} FILE", soft_wrap=True)


# The word is Python's own, but the command's name all the same.
import_.__name__ = "import"
