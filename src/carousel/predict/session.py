"""A session: text that grows, with the state kept, so that each further word costs one step."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from carousel.errors import TextError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import State
from carousel.predict.blocked_words import BlockedWords
from carousel.predict.next_words import (
    Prediction,
    block_words,
    rank_words,
    read_ids,
    split_space,
)
from carousel.predict.session_file import SavedSession, read_session, write_session
from carousel.text.tokenizer import Tokenizer


class Session:
    """Reads on from where it stands; a copy is a branch.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        bad_words: words that are never given, in lower or upper case.

    >>> import carousel
    >>> session = carousel.load("stories-lstm").session()
    >>> session.feed("krish likes pizza so he")
    >>> session.feed("orders")
    >>> session.next_words(k=1)[0].word
    'pizza'
    """

    def __init__(
        self,
        model: RecurrentLM,
        tokenizer: Tokenizer,
        *,
        bad_words: BlockedWords | Sequence[str] = (),
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.blocked = block_words(tokenizer, bad_words)
        self.reset()

    def reset(self) -> None:
        """Start anew: the start of a line, with nothing read and nothing learned."""
        self.hidden: np.ndarray
        """``[P]``: what the decoder gets for the next word."""
        self.state: State
        """The state after all that was read: plain data, shared with no other session."""
        self.hidden, self.state = read_ids(self.model, self.tokenizer, [])
        self.attached = True
        """Whether the next word follows at once, with no space before it."""
        self.space = ""
        """A space at the end that byte pairs read with the word to come."""

    def feed(self, text: str | Sequence[int]) -> None:
        """Read further whole words, or token ids.

        Models of characters and byte pairs read spaces, too: give them as the text has them.

        Raises:
            TextError: neither a text nor ids.
        """
        ids = self.encode_next(text)
        if ids:
            self.hidden, self.state = read_ids(self.model, self.tokenizer, ids, self.state)

    def encode_next(self, text: str | Sequence[int]) -> list[int]:
        """The ids that ``feed`` reads for ``text``; how the word after it is joined is noted."""
        if not isinstance(text, str):
            if isinstance(text, bytes) or not isinstance(text, Iterable):
                raise TextError(f"feed text or token ids, not {type(text).__name__}")
            ids = [*self.tokenizer.encode(self.space), *text]
            self.space = ""
            if ids:
                _, self.attached = split_space(self.tokenizer, self.tokenizer.decode(ids))
            return ids
        if not text:
            return []
        text = self.space + text
        read, self.attached = split_space(self.tokenizer, text)
        self.space = text[len(read) :]
        return self.tokenizer.encode(read)

    @property
    def logits(self) -> np.ndarray:
        """Scores of the next token, ``[V]``."""
        return self.model.logits(self.hidden)

    def next_words(
        self, k: int = 5, prefix: str | None = None, *, complete: bool = False
    ) -> list[Prediction]:
        """The ``k`` likeliest next words, best first, and their probabilities.

        Args:
            k: how many words; fewer are given where there are fewer.
            prefix: the word being typed: only words that start so, with their probabilities among
                these.
            complete: the prefix stands right behind the text that was read, which ends in a space
                if there is one between them.

        Raises:
            PredictionError: ``k`` is below 1.
        """
        attached = self.attached or bool(complete and prefix and not self.space)
        return rank_words(
            self.model,
            self.tokenizer,
            self.hidden,
            self.state,
            k,
            prefix,
            attached=attached,
            blocked=self.blocked,
        )

    def copy(self) -> Session:
        """A session that stands at the same place and goes its own way."""
        return copy.copy(self)

    def save(self, path: str | Path) -> None:
        """Write where the session stands, and what it has learned, to a file.

        Args:
            path: a file of type ``.safetensors``. The model is not in it.

        Raises:
            FolderError: it can't be written.
        """
        saved = SavedSession(self.hidden, self.state, self.attached, self.space)
        write_session(Path(path), self.model, self.tokenizer, saved)

    def restore(self, path: str | Path) -> None:
        """Go on from a file that ``save`` wrote, bit for bit.

        Args:
            path: the file: a session of the same model, which adapts in the same way.

        Raises:
            FolderError: no such file, a damaged one, or one of another model; the session stays
                where it stands.

        >>> import carousel
        >>> session = carousel.load("stories-lstm").session(adapt="cache")
        >>> session.feed("krish likes pizza")
        >>> session.save("krish.safetensors")
        >>> later = carousel.load("stories-lstm").session(adapt="cache")
        >>> later.restore("krish.safetensors")
        >>> later.next_words() == session.next_words()
        True
        """
        hidden, state = read_ids(self.model, self.tokenizer, [])
        like = SavedSession(hidden, state, True, "")
        saved = read_session(Path(path), self.model, self.tokenizer, like)
        self.hidden, self.state, self.attached, self.space = saved
