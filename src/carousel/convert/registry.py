"""The formats of other libraries: which are read, which are written, and by what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict, Unpack

from carousel.convert.assemble import Imported
from carousel.convert.keras import import_keras
from carousel.convert.onnx import export_onnx
from carousel.convert.onnx_import import import_onnx
from carousel.convert.pytorch import import_pytorch
from carousel.convert.pytorch_export import export_pytorch
from carousel.convert.transformers_folder import export_transformers, import_transformers
from carousel.errors import ConvertError


class ImportOptions(TypedDict, total=False):
    """What an importer can be told; see ``import_pytorch`` for what each means."""

    cell: str | None
    rnn: str | None
    embedding: str | None
    decoder: str | None
    projection: str | None
    tokens: str | None
    lowercase: bool
    eol: str | None
    unk: str | None
    add_eol: bool
    force: bool


class ExportOptions(TypedDict, total=False):
    """What an exporter can be told; see ``export_onnx`` for what each means."""

    gates: bool
    dtype: str | None
    force: bool


class ModelFormat(NamedTuple):
    """A format of model files."""

    name: str
    description: str
    import_model: Callable[..., Imported] | None = None
    """``import_model(source, vocab, out, **options)`` makes a model folder; None if none does."""
    export_model: Callable[..., None] | None = None
    """``export_model(folder, out, **options)`` makes a file; None if none does."""


FORMATS: Mapping[str, ModelFormat] = MappingProxyType(
    {
        known.name: known
        for known in (
            ModelFormat(
                "pytorch",
                "a state dict of embedding, nn.RNN/GRU/LSTM and linear layer: .pt, .safetensors",
                import_model=import_pytorch,
                export_model=export_pytorch,
            ),
            ModelFormat(
                "keras",
                "Embedding, SimpleRNN/GRU/LSTM and Dense with softmax: .keras, .h5",
                import_model=import_keras,
            ),
            ModelFormat(
                "onnx",
                "a graph of embedding, RNN/GRU/LSTM operators and linear layers: .onnx",
                import_model=import_onnx,
                export_model=export_onnx,
            ),
            ModelFormat(
                "transformers",
                "a folder of Hugging Face transformers, of a Carousel model",
                import_model=import_transformers,
                export_model=export_transformers,
            ),
        )
    }
)
"""Every format by its name."""
FLAGS = {"tokens": "tokenizer", "dtype": "to"}
"""The flags of the command line that are not called as the options are."""


def import_model(
    format_name: str,
    source: str | Path,
    vocab: str | Path | None,
    out: str | Path,
    **options: Unpack[ImportOptions],
) -> Imported:
    """Make a model folder of another library's model.

    Args:
        format_name: a name in ``FORMATS``.
        source: the other library's file.
        vocab: the tokens in the order of the embedding's rows; None for those in ``source``.
        out: the model folder to write.
        **options: what can't be told from the file; see ``ImportOptions``.

    Raises:
        ConvertError: no importer of that name, an option that it does not have, or a file that
            can't be taken over.
        FolderError: ``out`` is taken or can't be written.
    """
    importers = {name: known.import_model for name, known in FORMATS.items() if known.import_model}
    if format_name not in importers:
        raise ConvertError(f"{format_name!r} can't be imported; these can: {', '.join(importers)}")
    imported: Imported = _call(
        importers[format_name], format_name, source, vocab, out, options=options
    )
    return imported


def export_model(
    format_name: str, folder: str | Path, out: str | Path, **options: Unpack[ExportOptions]
) -> None:
    """Write a model folder's model in another library's format.

    Args:
        format_name: a name in ``FORMATS``.
        folder: the model folder.
        out: the file to write.
        **options: see ``ExportOptions``.

    Raises:
        ConvertError: no exporter of that name, an option that it does not have, or a model that it
            can't write.
        FolderError: the folder can't be read, or ``out`` can't be written.
    """
    exporters = {name: known.export_model for name, known in FORMATS.items() if known.export_model}
    if format_name not in exporters:
        raise ConvertError(f"{format_name!r} can't be exported; these can: {', '.join(exporters)}")
    _call(exporters[format_name], format_name, folder, out, options=options)


def _call(
    convert: Callable[..., Any], format_name: str, *arguments: Any, options: Mapping[str, Any]
) -> Any:
    """Call an importer or exporter with the options that are given and not off.

    Raises:
        ConvertError: it does not have one of them.
    """
    given = {name: option for name, option in options.items() if option not in (None, False)}
    known = signature(convert).parameters
    for name in given:
        if name not in known:
            flag = FLAGS.get(name, name).replace("_", "-")
            raise ConvertError(f"{format_name} has no option --{flag}")
    return convert(*arguments, **given)
