"""Keras models in: embedding, SimpleRNN, GRU or LSTM layers, dense layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from carousel.cells import CELLS
from carousel.convert.assemble import Imported, assemble
from carousel.convert.gate_order import KERAS, restack
from carousel.convert.keras_file import KerasLayer, read_keras
from carousel.convert.keras_vocabulary import find_vectorization, read_keras_vocabulary
from carousel.convert.parts import Ends
from carousel.convert.recurrent import Layer, Recurrent, make_recurrent
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.storage.model_folder import check_replaceable, write_folder

RECURRENT = {"SimpleRNN": "rnn", "GRU": "gru", "LSTM": "lstm"}
WITHOUT_EFFECT = ("InputLayer", "Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise",
                  "ActivityRegularization", "TextVectorization")  # fmt: skip
"""Layers that change nothing when a model predicts, and the one that makes the ids."""
REASONS = {
    "Bidirectional": "it reads the words to be predicted, so it is no next-word model",
    "Flatten": "it reads a window of fixed length, and no model that goes word by word can",
}
"""Why some layers can't be taken over."""


def import_keras(
    model: str | Path,
    vocab: str | Path | None,
    out: str | Path,
    *,
    tokens: str | None = None,
    lowercase: bool = False,
    eol: str | None = None,
    unk: str | None = None,
    force: bool = False,
) -> Imported:
    """Turn a Keras model into a model folder.

    It is an Embedding, one or several layers of SimpleRNN, GRU (``reset_after`` or not) or LSTM,
    Dropout wherever it stands, and Dense layers, the last one with softmax. Row 0 of the embedding
    is Keras's padding. Where the model reads it (``mask_zero`` is off), it becomes the end of a
    line, with which a text begins; else it becomes a token ``<mask>`` that is never read.

    Args:
        model: a ``.keras`` file, or a legacy ``.h5``. Nothing in it is run or unpickled.
        vocab: the JSON of Keras's ``Tokenizer.to_json()``, the vocabulary of a TextVectorization
            layer, or any other that ``read_vocabulary`` reads, by the embedding's rows. None for
            that of a TextVectorization in the model.
        out: the model folder to write.
        tokens: how text is cut, where the vocabulary does not say it; this and the next as in
            ``read_vocabulary``.
        lowercase: lower upper case on the way in.
        eol: the token that ends a line, instead of the padding.
        unk: the token of unknown words.
        force: replace a model that is in ``out``.

    Raises:
        ConvertError: what can't be read or represented, and why, in one line.
        FolderError: ``out`` is taken or can't be written.
    """
    path, out = Path(model), Path(out)
    check_replaceable(out, force=force)
    layers = read_keras(path)
    try:
        notes: list[str] = []
        stack = [layer for layer in layers if layer.kind not in WITHOUT_EFFECT]
        embedding, masked = _embedding(stack)
        recurrent = _recurrent(stack)
        ends = _ends(stack, embedding)
        vocabulary = read_keras_vocabulary(
            None if vocab is None else Path(vocab),
            find_vectorization(layers),
            len(embedding),
            masked=masked,
            tokens=tokens,
            lowercase=lowercase,
            eol=eol,
            unk=unk,
        )
        notes.append(_about_windows(layers, masked=masked))
        config, arrays = assemble(recurrent, ends, vocabulary.rows)
    except (ConvertError, FolderError) as error:
        raise ConvertError(f"{path}: {error}") from None
    write_folder(out, config, arrays, vocabulary.tokenizer, force=force)
    notes = [*vocabulary.notes, *recurrent.notes, *ends.notes, *notes]
    return Imported(LanguageModel.load(out), tuple(notes))


def _embedding(stack: list[KerasLayer]) -> tuple[np.ndarray, bool]:
    """The table ``[V, E]``, and whether row 0 is masked; the layer leaves the stack."""
    layer = stack.pop(0) if stack else None
    if layer is None or layer.kind != "Embedding":
        raise ConvertError(f"it begins with {layer.kind if layer else 'nothing'}, not an Embedding")
    (table,) = _weights(layer, ("embeddings",), 2)
    return table, bool(layer.config.get("mask_zero"))


def _recurrent(stack: list[KerasLayer]) -> Recurrent:
    """The recurrent layers, which leave the stack."""
    layers: list[Layer] = []
    cells: list[str] = []
    biases: list[bool] = []
    while stack and stack[0].kind in RECURRENT:
        layer = stack.pop(0)
        cell = RECURRENT[layer.kind]
        if cell == "gru" and not layer.config.get("reset_after", False):
            cell = "gru-reset-before"
        cells.append(cell)
        _check_settings(layer)
        biases.append(bool(layer.config.get("use_bias", True)))
        layers.append(_recurrent_layer(layer, cell, has_bias=biases[-1]))
        if stack and stack[0].kind in RECURRENT and not layer.config.get("return_sequences"):
            raise ConvertError(f"{layer.name} gives its last state alone to another layer")
    if not layers:
        found = f"{stack[0].kind} {stack[0].name!r}" if stack else "nothing"
        reason = REASONS.get(stack[0].kind) if stack else None
        raise ConvertError(
            f"{found} follows the Embedding, not SimpleRNN, GRU or LSTM"
            + (f": {reason}" if reason else "")
        )
    if len(set(cells)) > 1:
        raise ConvertError(f"its layers are of several cells ({', '.join(dict.fromkeys(cells))})")
    return make_recurrent(cells[0], layers, biases=True)


def _check_settings(layer: KerasLayer) -> None:
    """Refuse what Carousel's cells do not have."""
    wanted: dict[str, Any] = {"activation": "tanh", "go_backwards": False}
    if layer.kind != "SimpleRNN":
        wanted["recurrent_activation"] = "sigmoid"
    for setting, value in wanted.items():
        given = layer.config.get(setting, value)
        if given != value:
            raise ConvertError(f"{layer.name} has {setting}={_shown(given)}, not {value}")


def _recurrent_layer(layer: KerasLayer, cell: str, *, has_bias: bool) -> Layer:
    """A layer's weights, gates in our order; Keras's kernels are transposed."""
    parts = ("kernel", "recurrent_kernel", *(["bias"] if has_bias else []))
    kernel, recurrent_kernel, *bias = _weights(layer, parts)
    theirs, ours = KERAS[cell.split("-")[0]], CELLS[cell].stacked
    size = recurrent_kernel.shape[0]
    rows = len(theirs) * size
    two = cell == "gru"
    shapes = {"kernel": (kernel.shape[0], rows), "recurrent_kernel": (size, rows),
              "bias": (2, rows) if two else (rows,)}  # fmt: skip
    for name, array in zip(parts, (kernel, recurrent_kernel, *bias), strict=True):
        if array.shape != shapes[name] or 0 in array.shape:
            raise ConvertError(
                f"{layer.name}: {name} has shape {list(array.shape)}, not {list(shapes[name])}"
            )
    zeros = np.zeros(rows, np.float32)
    given = bias[0] if bias else zeros
    bias_ih, bias_hh = (given[0], given[1]) if two and bias else (given, zeros)
    stacked = {"weight_ih": kernel.T, "weight_hh": recurrent_kernel.T,
               "bias_ih": bias_ih, "bias_hh": bias_hh}  # fmt: skip
    return {name: restack(np.ascontiguousarray(w), theirs, ours) for name, w in stacked.items()}


def _ends(stack: list[KerasLayer], table: np.ndarray) -> Ends:
    """The dense layers: the last one is the decoder, one before it a projection."""
    dense: list[tuple[np.ndarray, np.ndarray | None]] = []
    last = ""
    for layer in stack:
        kind: Any = layer.kind
        config = layer.config
        if kind == "TimeDistributed":
            inner = config.get("layer") or {}
            kind, config = inner.get("class_name"), inner.get("config") or {}
        if last == "softmax":
            raise ConvertError(f"{layer.name} ({layer.kind}) follows the softmax")
        if kind in ("Activation", "Softmax"):
            last = "softmax" if kind == "Softmax" else _shown(config.get("activation"))
        elif kind == "Dense":
            parts = ("kernel", "bias") if config.get("use_bias", True) else ("kernel",)
            kernel, *bias = _weights(layer, parts)
            if kernel.ndim != 2 or (bias and bias[0].shape != kernel.shape[1:]):
                raise ConvertError(f"{layer.name} has weights of other shapes than a Dense layer")
            dense.append((np.ascontiguousarray(kernel.T), bias[0] if bias else None))
            last = _shown(config.get("activation", "linear"))
        else:
            reason = REASONS.get(str(kind), "Carousel's models have no such layer")
            raise ConvertError(f"it has {layer.kind} ({layer.name}): {reason}")
        if last not in ("linear", "softmax"):
            raise ConvertError(
                f"{layer.name} has the activation {last}: only linear layers stand before the "
                f"softmax in Carousel's models"
            )
    if not dense or len(dense) > 2:
        raise ConvertError(f"{len(dense)} Dense layers follow the recurrent ones: one or two can")
    decoder, bias = dense[-1]
    if len(decoder) != len(table):
        raise ConvertError(
            f"the Embedding has {len(table)} rows, but the last Dense layer {len(decoder)}: which "
            f"of them belong together can't be told"
        )
    between, between_bias = dense[0] if len(dense) == 2 else (None, None)
    notes = () if last == "softmax" else ("the last Dense layer gives logits: no softmax follows",)
    tied = np.array_equal(decoder, table)
    return Ends(table, None if tied else decoder, bias, between, between_bias, notes)


def _weights(layer: KerasLayer, names: tuple[str, ...], dims: int | None = None) -> Any:
    """A layer's weights, as many as it has names for them."""
    if len(layer.weights) != len(names) or (dims and layer.weights[0].ndim != dims):
        raise ConvertError(
            f"{layer.kind} {layer.name!r} has {len(layer.weights)} weights in the file, not "
            f"{' and '.join(names)}"
        )
    if layer.weights[0].ndim != 2 or (len(names) > 1 and layer.weights[1].ndim == 0):
        raise ConvertError(f"{layer.kind} {layer.name!r} has weights that are no matrices")
    return layer.weights


def _about_windows(layers: list[KerasLayer], *, masked: bool) -> str:
    """What windows of fixed length mean for a model that reads on and on."""
    shapes = [layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
              for layer in layers[:2]]  # fmt: skip
    lengths = [shape[1] for shape in shapes if isinstance(shape, list) and len(shape) > 1]
    length = next((n for n in lengths if type(n) is int and n > 0), None)
    shown = "N" if length is None else str(length)
    of = "windows" if length is None else f"windows of {length}"
    if masked:
        return (
            f"Keras reads {of} and skips the padding (mask_zero); Carousel reads the whole text, "
            f"after an end of line: predict --window {shown} gives Keras's own numbers"
        )
    return (
        f"Keras reads {of}, and the padding before short texts as words; Carousel reads the "
        f"whole text after one padding: predict --window {shown} gives Keras's own numbers"
    )


def _shown(given: Any) -> str:
    """A setting as it is shown; an activation may be an object with a name."""
    if isinstance(given, dict):
        given = given.get("class_name") or (given.get("config") or {}).get("name") or "an object"
    return str(given)[:60]
