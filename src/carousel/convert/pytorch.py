"""PyTorch language models in: a state dict and its vocabulary become a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from carousel.convert.checkpoint import read_checkpoint, read_stored_vocabulary
from carousel.convert.parts import Ends, find_ends
from carousel.convert.recurrent import Recurrent, find_recurrent
from carousel.convert.vocabulary import ABSENT, read_vocabulary
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.storage.model_folder import check_replaceable, write_folder

NEVER = -1e4
"""The decoder's bias for a token that is added: its probability is 0 to the last bit."""


class Imported(NamedTuple):
    """A model that was taken over, and what was decided on the way, one line each."""

    model: LanguageModel
    notes: tuple[str, ...]


def import_pytorch(
    checkpoint: str | Path,
    vocab: str | Path | None,
    out: str | Path,
    *,
    rnn: str | None = None,
    embedding: str | None = None,
    decoder: str | None = None,
    projection: str | None = None,
    tokens: str | None = None,
    lowercase: bool = False,
    eol: str | None = None,
    unk: str | None = None,
    add_eol: bool = False,
    force: bool = False,
) -> Imported:
    """Turn a state dict of embedding + ``nn.RNN/GRU/LSTM`` + linear decoder into a model folder.

    The parts are found by shape and name. An LSTM's ``proj_size`` and a linear projection before
    the decoder are taken over exactly. Rows move so that the unknown word and the end of a line
    stand where a Carousel tokenizer has them; a token that is added has probability 0, so that
    perplexity stays what it was.

    Args:
        checkpoint: ``.safetensors``, or what ``torch.save`` wrote of a state dict (that needs
            PyTorch; it is loaded with ``weights_only=True``).
        vocab: the tokens in the order of the embedding's rows; see ``read_vocabulary``. None for
            those that lie in the checkpoint itself.
        out: the model folder to write.
        rnn: the recurrent module's name, where the parts can't be told.
        embedding: the embedding's.
        decoder: the last linear layer's.
        projection: the name of a linear layer between recurrent layers and decoder.
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
    checkpoint, out = Path(checkpoint), Path(out)
    check_replaceable(out, force=force)
    weights = read_checkpoint(checkpoint)
    stored = read_stored_vocabulary(checkpoint) if vocab is None else None
    if vocab is None and stored is None:
        raise ConvertError(f"{checkpoint} holds no vocabulary: name a file with --vocab")
    vocabulary = read_vocabulary(
        checkpoint if vocab is None else Path(vocab),
        stored,
        tokens=tokens,
        lowercase=lowercase,
        eol=eol,
        unk=unk,
        add_eol=add_eol,
    )
    try:
        recurrent = find_recurrent(weights, rnn)
        ends = find_ends(
            weights,
            recurrent,
            vocabulary.size,
            embedding=embedding,
            decoder=decoder,
            projection=projection,
        )
        config, arrays = _assemble(recurrent, ends, vocabulary.rows)
    except (ConvertError, FolderError) as error:
        raise ConvertError(f"{checkpoint}: {error}") from None
    notes = [*vocabulary.notes, *recurrent.notes, *ends.notes]
    if recurrent.outer is not None and not recurrent.notes:
        notes.append("the LSTM's proj_size is worked into the weights; h is what stands before it")
    if recurrent.cell == "rnn":
        notes.append(
            "tanh is taken as the RNN's nonlinearity: weights don't show relu, which Carousel "
            "does not have; if perplexity is far off, that is why"
        )
    write_folder(out, config, arrays, vocabulary.tokenizer, force=force)
    return Imported(LanguageModel.load(out), tuple(notes))


def _assemble(
    recurrent: Recurrent, ends: Ends, rows: Sequence[int]
) -> tuple[Config, dict[str, np.ndarray]]:
    """Configuration and weights of the model folder; ``rows`` says which row each token had."""
    projection = _product(ends.projection, recurrent.outer)
    bias = np.zeros(len(ends.embedding)) if ends.bias is None else ends.bias.astype(np.float64)
    if ends.projection_bias is not None:
        # W (P h + p) + b = W P h + (W p + b)
        reader = ends.embedding if ends.decoder is None else ends.decoder
        bias = bias + reader @ ends.projection_bias.astype(np.float64)
    config = Config(
        cell=recurrent.cell,
        vocab_size=len(rows),
        embedding_size=recurrent.input_size,
        hidden_size=recurrent.hidden_size,
        layers=len(recurrent.layers),
        tied=ends.decoder is None,
        projection_size=0 if projection is None else len(projection),
        biases=recurrent.biases,
    )
    arrays = {"embedding.weight": _move(ends.embedding, rows, 0.0)}
    for number, layer in enumerate(recurrent.layers):
        arrays |= {f"layers.{number}.{name}": weight for name, weight in layer.items()}
    if projection is not None:
        arrays["projection.weight"] = projection
    if ends.decoder is not None:
        arrays["decoder.weight"] = _move(ends.decoder, rows, 0.0)
    arrays["decoder.bias"] = _move(bias, rows, NEVER)
    wrong = {n for n, w in arrays.items() if w.shape != config.weight_shapes().get(n)}
    if wrong:
        name = min(wrong)
        raise ConvertError(
            f"{name} comes out with shape {list(arrays[name].shape)}, which does not go with the "
            f"other sizes"
        )
    return config, arrays


def _product(outer: np.ndarray | None, inner: np.ndarray | None) -> np.ndarray | None:
    """Two projections, one after the other, as one."""
    if outer is None or inner is None:
        return inner if outer is None else outer
    product: np.ndarray = (outer.astype(np.float64) @ inner).astype(np.float32)
    return product


def _move(given: np.ndarray, rows: Sequence[int], added: float) -> np.ndarray:
    """``[V, ...]``: the rows in their new order; those that are added hold one value."""
    index = np.asarray(rows)
    moved: np.ndarray = given[np.maximum(index, 0)].astype(np.float32)
    moved[index == ABSENT] = added
    return moved
