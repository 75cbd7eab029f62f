"""PyTorch language models in: a state dict and its vocabulary become a model folder."""

from __future__ import annotations

from pathlib import Path

from carousel.convert.assemble import Imported, assemble
from carousel.convert.checkpoint import (
    read_checkpoint,
    read_saved_vocabulary,
    read_stored_vocabulary,
)
from carousel.convert.parts import find_ends
from carousel.convert.recurrent import find_recurrent
from carousel.convert.vocabulary import read_vocabulary
from carousel.errors import ConvertError, FolderError
from carousel.model import LanguageModel
from carousel.storage.model_folder import check_replaceable, write_folder


def import_pytorch(
    checkpoint: str | Path,
    vocab: str | Path | None,
    out: str | Path,
    *,
    cell: str | None = None,
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
        cell: ``gru-reset-before`` for a GRU whose reset gate acts before the product, as in the
            paper, which weights don't show.
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
    if vocab is not None:
        stored = read_saved_vocabulary(Path(vocab))
    elif (stored := read_stored_vocabulary(checkpoint)) is None:
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
        recurrent = find_recurrent(weights, rnn, cell)
        ends = find_ends(
            weights,
            recurrent,
            vocabulary.size,
            embedding=embedding,
            decoder=decoder,
            projection=projection,
        )
        config, arrays = assemble(recurrent, ends, vocabulary.rows)
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
