"""A session on disk: its state as a safetensors file, checked before it is believed.

The file holds the arrays of the state by their names in it (``state.h``), the vector that the
decoder gets for the next word, and in its metadata a fingerprint of the model. A session goes on
only with the model it was saved from, and with the same kind of adaptation and its parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from carousel.errors import FolderError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import LearnedWeights, State
from carousel.storage.atomic import write_file
from carousel.storage.number_formats import Quantized, Tiled
from carousel.storage.regular_file import check_regular
from carousel.text.tokenizer import Tokenizer

FORMAT = "carousel-session-1"
MAX_SPACE = 2**16
"""Characters of white space that may stand at the end of a saved text."""
IDS = ("words", "window", "recent")
"""Arrays of a state that hold token ids, -1 where there is none."""


class SavedSession(NamedTuple):
    """What a file holds."""

    hidden: np.ndarray
    """``[P]``: what the decoder gets for the next word."""
    state: State
    attached: bool
    """Whether the next word follows at once, with no space before it."""
    space: str
    """A space at the end that is read with the word to come."""


def write_session(
    path: Path, model: RecurrentLM, tokenizer: Tokenizer, session: SavedSession
) -> None:
    """Write a session's state, whole or not at all.

    Raises:
        FolderError: it can't be written.
    """
    from safetensors.numpy import save

    arrays = dict(_arrays(session.state, "state."))
    arrays["hidden"] = session.hidden
    metadata = {
        "format": FORMAT,
        "model": fingerprint(model, tokenizer),
        "attached": str(int(session.attached)),
        "space": session.space,
    }
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata)
    write_file(path, data)


def read_session(
    path: Path, model: RecurrentLM, tokenizer: Tokenizer, like: SavedSession
) -> SavedSession:
    """Read what ``write_session`` wrote.

    Args:
        path: the file.
        model: the model that the session goes on with.
        tokenizer: its tokenizer.
        like: a session of this model that has just begun: the file must hold what it holds.

    Raises:
        FolderError: no such file, a damaged one, or one of another model or adaptation.
    """
    from safetensors import SafetensorError, safe_open

    expected = {**dict(_arrays(like.state, "state.")), "hidden": like.hidden}
    arrays: dict[str, np.ndarray] = {}
    try:
        check_regular(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise FolderError(f"{path} is not a saved session")
            if metadata.get("model") != fingerprint(model, tokenizer):
                raise FolderError(
                    f"{path} was saved from another model, or with other parameters of adaptation"
                )
            if set(file.keys()) != expected.keys():
                raise FolderError(f"{path} was saved with another kind of adaptation")
            for name, wanted in expected.items():
                part = file.get_slice(name)
                if tuple(part.get_shape()) != wanted.shape:
                    raise FolderError(f"{path}: {name} has another shape than {wanted.shape}")
                arrays[name] = file.get_tensor(name)
    except FileNotFoundError:
        raise FolderError(f"{path} is not there: no such saved session") from None
    except FolderError:
        raise
    except (SafetensorError, OSError) as error:
        raise FolderError(f"{path} can't be read as a saved session: {error}") from None
    for name, wanted in expected.items():
        _check(f"{path}: {name}", arrays[name], wanted, model.config.vocab_size)
    state: State = _rebuild(like.state, arrays, "state.")
    space = metadata.get("space", "")
    if space.strip() or len(space) > MAX_SPACE:
        raise FolderError(f"{path}: its space is not one")
    return SavedSession(arrays["hidden"], state, metadata.get("attached") == "1", space)


def fingerprint(model: RecurrentLM, tokenizer: Tokenizer) -> str:
    """A hash of a model's shape, weights, tokenizer, held gates and adaptation."""
    digest = hashlib.sha256(model.config.to_json().encode())
    digest.update(tokenizer.to_json().encode())
    digest.update(f"{len(model.interventions)} {model.backend.description}".encode())
    for name in sorted(model.config.weight_shapes()):
        weight = model.stored[name]
        digest.update(name.encode())
        parts = weight[:2] if isinstance(weight, Quantized | Tiled) else (weight,)
        for part in parts:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _arrays(state: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a state, by name."""
    parts = state.arrays if isinstance(state, LearnedWeights) else state._asdict()
    for name, part in parts.items():
        if isinstance(part, np.ndarray):
            yield prefix + name, part
        else:
            yield from _arrays(part, f"{prefix}{name}.")


def _rebuild(like: Any, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    """A state of the kind of ``like`` from arrays by name."""
    if isinstance(like, np.ndarray):
        return arrays[prefix.removesuffix(".")]
    if isinstance(like, LearnedWeights):
        return LearnedWeights({name: arrays[prefix + name] for name in like.arrays})
    parts = (_rebuild(part, arrays, f"{prefix}{name}.") for name, part in like._asdict().items())
    return type(like)(*parts)


def _check(where: str, array: np.ndarray, like: np.ndarray, vocab_size: int) -> None:
    """Check that an array is of the type of ``like``, and holds what the model can go on with."""
    if array.dtype != like.dtype:
        raise FolderError(f"{where} is of type {array.dtype}, not {like.dtype}")
    # What was never read is NaN in some states: there it may stand.
    allowed = np.isnan(array) if array.dtype.kind == "f" and np.isnan(like).any() else False
    if array.dtype.kind == "f" and not (np.isfinite(array) | allowed).all():
        raise FolderError(f"{where} holds values that are not finite")
    holds_ids = where.rpartition(" ")[2].rpartition(".")[2] in IDS and array.size
    if holds_ids and (array.min() < -1 or array.max() >= vocab_size):
        raise FolderError(f"{where} holds ids of words that the model does not have")
