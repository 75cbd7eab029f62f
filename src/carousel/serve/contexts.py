"""Contexts: each model of the server, with all that is known of it, and how its sessions begin."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from carousel.errors import PredictionError, SettingsError
from carousel.model import LanguageModel
from carousel.predict.session import Session
from carousel.pretrained import pretrained_models
from carousel.serve.packing import most_bytes, pack, unpack
from carousel.web.one_file import MODEL_FILES

FINGERPRINT_BYTES = 16


class Context:
    """One model that is served.

    Args:
        name: what requests call it.
        lm: the model.
        adapt: ``"cache"`` for a neural cache in each session and request; None for none.

    >>> context = open_contexts(["stories-lstm"])["stories-lstm"]
    >>> session = context.session()
    >>> session.feed("krish likes pizza so he orders")
    >>> context.unpack(context.pack(session)).next_words(k=1)[0].word
    'pizza'
    """

    def __init__(self, name: str, lm: LanguageModel, adapt: Literal["cache"] | None = None) -> None:
        assert lm.path is not None  # it was loaded from a folder
        self.name, self.folder = name, lm.path
        self.plain, self.tokenizer = lm.model, lm.tokenizer
        """The model without a cache, which explanations are of."""
        self.model = lm.adapt(adapt).model
        self.created = int(time.time())
        self.fingerprint = fingerprint(lm.path, self.model.backend.description)
        """Tells this model from any other, so that a session's state is not read by another one."""
        self._fresh = Session(self.model, self.tokenizer)
        self.session_bytes = most_bytes(self._fresh)
        """What the state of one session may take."""

    def session(self) -> Session:
        """A session at the start of a line, which has read nothing yet."""
        return self._fresh.copy()

    def pack(self, session: Session) -> bytes:
        """The state of a session as bytes."""
        return pack(session)

    def unpack(self, data: bytes) -> Session:
        """The session of a state that ``pack`` made of this model.

        Raises:
            ValueError: the bytes are not a state of this model.
        """
        return unpack(data, self._fresh)


def open_contexts(
    names: Sequence[str], adapt: Literal["cache"] | None = None
) -> dict[str, Context]:
    """Open models by folder or by the name of one that comes with the package.

    Args:
        names: at least one. A folder is served under its own name; of two folders with one name the
            second is served under its whole path.
        adapt: as of ``Context``.

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
        contexts[shown] = Context(shown, lm, adapt)
    return contexts


def fingerprint(folder: Path, adaptation: str = "") -> bytes:
    """A hash of all that makes a model: two folders have the same one if they are the same.

    Args:
        folder: the model's folder.
        adaptation: what describes its cache; empty where there is none.
    """
    whole = hashlib.sha256(adaptation.encode())
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
