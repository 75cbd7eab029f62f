"""Contexts: each model of the server, with all that is known of it, and how its sessions begin."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carousel.errors import PredictionError, SettingsError
from carousel.inference.state import State, plain_state
from carousel.model import LanguageModel
from carousel.predict.session import Session
from carousel.pretrained import pretrained_models
from carousel.web.one_file import MODEL_FILES

FINGERPRINT_BYTES = 16


class Context:
    """One model that is served.

    Args:
        name: what requests call it.
        lm: the model.

    >>> context = open_contexts(["stories-lstm"])["stories-lstm"]
    >>> session = context.session()
    >>> session.feed("krish likes pizza so he orders")
    >>> context.unpack(context.pack(session)).next_words(k=1)[0].word
    'pizza'
    """

    def __init__(self, name: str, lm: LanguageModel) -> None:
        assert lm.path is not None  # it was loaded from a folder
        self.name, self.folder = name, lm.path
        self.model, self.tokenizer = lm.model, lm.tokenizer
        self.created = int(time.time())
        self.fingerprint = fingerprint(lm.path)
        """Tells this model from any other, so that a session's state is not read by another one."""
        self._fresh = self._new_session()

    def _new_session(self) -> Session:
        """A session at the start of a line: the one place where sessions of the server are made."""
        return Session(self.model, self.tokenizer)

    def session(self) -> Session:
        """A session at the start of a line, which has read nothing yet."""
        return self._fresh.copy()

    # -- a session's state as bytes -----------------------------------------------------------

    def pack(self, session: Session) -> bytes:
        """The state of a session as bytes: a byte, then float32 after float32."""
        state = plain_state(session.state)
        parts = [np.ascontiguousarray(part, dtype="<f4").tobytes() for part in state]
        if self.model.config.projection_size:
            parts.append(np.ascontiguousarray(session.hidden, dtype="<f4").tobytes())
        return bytes([session.attached + 2 * bool(session.space)]) + b"".join(parts)

    def unpack(self, data: bytes) -> Session:
        """The session of a state that ``pack`` made of this model.

        Raises:
            ValueError: the bytes are not of this model's size.
        """
        session = self.session()
        like = plain_state(session.state)
        projected = self.model.config.projection_size
        floats = sum(part.size for part in like) + projected
        if len(data) != 1 + 4 * floats:
            raise ValueError(f"a state of {self.name} has {1 + 4 * floats} bytes, not {len(data)}")
        numbers = np.frombuffer(data, dtype="<f4", offset=1).astype(np.float32)
        parts = []
        for part in like:
            parts.append(numbers[: part.size].reshape(part.shape))
            numbers = numbers[part.size :]
        state: State = type(like)(*parts)
        session.state, session.attached = state, bool(data[0] & 1)
        session.space = " " if data[0] & 2 else ""
        session.hidden = numbers if projected else state.h[-1, 0].copy()
        return session


def open_contexts(names: Sequence[str]) -> dict[str, Context]:
    """Open models by folder or by the name of one that comes with the package.

    Args:
        names: at least one. A folder is served under its own name; of two folders with one name the
            second is served under its whole path.

    Raises:
        FolderError: no model there, or a damaged one.
        SettingsError: a model was given twice.
    """
    contexts: dict[str, Context] = {}
    for name in names:
        lm = LanguageModel.load(name)
        assert lm.path is not None
        own = name if name in pretrained_models() else lm.path.resolve().name
        shown = str(name) if own in contexts else own
        if shown in contexts:
            raise SettingsError(f"{name} is given twice: name each model once")
        contexts[shown] = Context(shown, lm)
    return contexts


def fingerprint(folder: Path) -> bytes:
    """A hash of all that makes a model: two folders have the same one if they are the same."""
    whole = hashlib.sha256()
    for name in MODEL_FILES:
        with (folder / name).open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.digest()[:FINGERPRINT_BYTES]


def check_known(context: Context, ids: Sequence[int]) -> None:
    """Check that the ids of a request are tokens of the model.

    Raises:
        PredictionError: one of them is not.
    """
    size = context.tokenizer.vocab_size
    for id in ids:
        if not 0 <= id < size:
            raise PredictionError(f"there is no token {id}: {context.name} has {size}")
