"""ONNX graphs in: embedding, RNN, GRU or LSTM operators, linear layers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from carousel.convert.assemble import Imported, assemble
from carousel.convert.onnx import TOKENIZER_KEY
from carousel.convert.onnx_file import OnnxFile
from carousel.convert.onnx_walk import GraphPath, Linear, find_path
from carousel.convert.parts import Ends, check_rows
from carousel.convert.recurrent import make_recurrent
from carousel.convert.vocabulary import read_vocabulary
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.storage.model_folder import check_replaceable, write_folder
from carousel.storage.strict_json import parse_json


def import_onnx(
    graph: str | Path,
    vocab: str | Path | None,
    out: str | Path,
    *,
    tokens: str | None = None,
    lowercase: bool = False,
    eol: str | None = None,
    unk: str | None = None,
    add_eol: bool = False,
    force: bool = False,
) -> Imported:
    """Turn an ONNX graph into a model folder.

    The graph is one that PyTorch, Keras (by tf2onnx) or Carousel export: a Gather from the
    embedding, layers of one of the operators RNN, GRU and LSTM, and MatMul or Gemm. It is followed
    from its logits back to its ids. An operator that Carousel's models do not have is named, and
    the graph is refused.

    Args:
        graph: the ``.onnx`` file. Weights beside it (external data) must lie in its folder.
        vocab: the tokens in the order of the embedding's rows; see ``read_vocabulary``. None for
            those in a graph that Carousel wrote.
        out: the model folder to write.
        tokens: how text is cut; this and the next as in ``read_vocabulary``.
        lowercase: lower upper case on the way in.
        eol: the token that ends a line.
        unk: the token of unknown words.
        add_eol: add an end of line to a vocabulary that has none.
        force: replace a model that is in ``out``.

    Raises:
        ConvertError: what can't be read or represented, and why, in one line.
        FolderError: ``out`` is taken or can't be written.
    """
    if find_spec("onnx") is None:
        raise ConvertError("this format needs the package onnx: pip install 'carousel-lstm[onnx]'")
    graph, out = Path(graph), Path(out)
    check_replaceable(out, force=force)
    file = OnnxFile(graph)
    stored = None
    if vocab is None:
        if TOKENIZER_KEY not in file.metadata:
            raise ConvertError(f"{graph} holds no vocabulary: name a file with --vocab")
        stored = parse_json(file.metadata[TOKENIZER_KEY], f"{TOKENIZER_KEY} in {graph}")
    vocabulary = read_vocabulary(
        graph if vocab is None else Path(vocab),
        stored,
        tokens=tokens,
        lowercase=lowercase,
        eol=eol,
        unk=unk,
        add_eol=add_eol,
    )
    try:
        path = find_path(file)
        recurrent = make_recurrent(path.cell, path.layers, biases=True)
        ends = _ends(path, vocabulary.size)
        config, arrays = assemble(recurrent, ends, vocabulary.rows)
    except (ConvertError, FolderError) as error:
        where = "" if str(error).startswith(str(graph)) else f"{graph}: "
        raise ConvertError(f"{where}{error}") from None
    write_folder(out, config, arrays, vocabulary.tokenizer, force=force)
    notes = (*vocabulary.notes, *path.notes, *recurrent.notes)
    return Imported(LanguageModel.load(out), notes)


def _ends(path: GraphPath, tokens: int) -> Ends:
    """What stands before and after the recurrent layers, with several linear layers as two."""
    check_rows(path.embedding, "the embedding", tokens)
    linears = list(path.linears)
    if path.adaptive is not None:
        decoder = None
        if path.adaptive.tokens != tokens:
            raise ConvertError(
                f"the vocabulary has {tokens} tokens, but the adaptive softmax "
                f"{path.adaptive.tokens}"
            )
    else:
        decoder = linears.pop()
        check_rows(decoder.weight, "the decoder", tokens)
    between = None
    for linear in linears:
        between = linear if between is None else _after(between, linear)
    tied = decoder is None or np.array_equal(decoder.weight, path.embedding)
    return Ends(
        path.embedding,
        None if tied or decoder is None else decoder.weight,
        None if decoder is None else decoder.bias,
        None if between is None else between.weight,
        None if between is None else between.bias,
        (),
        path.adaptive,
    )


def _after(first: Linear, second: Linear) -> Linear:
    """Two linear layers as one: ``W2 (W1 x + b1) + b2``."""
    weight = second.weight.astype(np.float64) @ first.weight
    bias = second.bias
    if first.bias is not None:
        moved = second.weight.astype(np.float64) @ first.bias
        bias = moved if bias is None else moved + bias
    return Linear(weight.astype(np.float32), None if bias is None else bias.astype(np.float32))
