"""Predictions as plain data, for one text or for a line of many."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from carousel.cli.output import note_unknown_words
from carousel.model import LanguageModel


def predict_text(
    model: LanguageModel,
    text: str,
    *,
    k: int,
    prefix: str | None,
    complete: bool,
    window: int | None = None,
) -> dict[str, Any]:
    """Return the predictions after a text, and its unknown words, as plain data."""
    predictions = model.next_words(text, k, prefix, complete=complete, window=window)
    known_part = model.tokenizer.split_prefix(text)[0] if complete else text
    unknown = note_unknown_words(model.tokenizer, known_part)
    return {
        "text": text,
        "predictions": [{"word": word, "probability": p} for word, p in predictions],
        "unknown": [asdict(word) for word in unknown],
    }
