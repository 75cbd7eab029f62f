"""Predictions as plain data, for one text or for a line of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from carousel.cli.output import note_unknown_words
from carousel.errors import SettingsError
from carousel.model import LanguageModel
from carousel.predict.session import Session


def predict_text(
    model: LanguageModel,
    text: str,
    *,
    k: int,
    prefix: str | None,
    complete: bool,
    window: int | None = None,
    session_file: Path | None = None,
    bad_words: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the predictions after a text, and its unknown words, as plain data.

    With a session's file the text goes on with that session, which is kept there afterwards.
    """
    known_part = model.tokenizer.split_prefix(text)[0] if complete else text
    if session_file is None:
        predictions = model.next_words(
            text, k, prefix, complete=complete, window=window, bad_words=bad_words
        )
    else:
        if window is not None:
            raise SettingsError("a session reads all words: leave out --window or --session")
        session = open_session(model, session_file, bad_words)
        session.feed(known_part)
        typed = text[len(known_part) :] if complete else prefix
        predictions = session.next_words(k, typed, complete=complete)
        session.save(session_file)
    unknown = note_unknown_words(model.tokenizer, known_part)
    return {
        "text": text,
        "predictions": [{"word": word, "probability": p} for word, p in predictions],
        "unknown": [asdict(word) for word in unknown],
    }


def open_session(model: LanguageModel, path: Path | None, bad_words: Sequence[str] = ()) -> Session:
    """Return the session that a file keeps, or one that begins where there is none."""
    session = model.session(bad_words=bad_words)
    if path is not None and path.exists():
        session.restore(path)
    return session
