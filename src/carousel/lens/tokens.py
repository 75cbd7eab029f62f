"""What tokens look like on a screen: the words of a trace, and its likeliest next tokens."""

from __future__ import annotations

import numpy as np

from carousel.lens.trace import Trace, show_token
from carousel.predict.next_words import Prediction
from carousel.softmax import softmax
from carousel.text.printable import printable_word
from carousel.text.tokenizer import Tokenizer


def display_words(trace: Trace) -> list[str]:
    """The ``T`` words of a trace as a screen shows them.

    Byte pairs are shown as the text they stand for. A word that the model does not know is shown
    as it was typed, in angle brackets: ``<sushi>``.
    """
    tokenizer = trace.tokenizer
    if tokenizer is not None and tokenizer.kind == "bpe":
        return [trace.words[0], *(_display_token(tokenizer, int(id)) for id in trace.ids[1:])]
    words = [printable_word(word) for word in trace.words]
    if trace.knows_text:
        for t, token in enumerate(trace.tokens):
            if not token.known:
                words[t] = f"<{printable_word(token.typed)}>"
    return words


def likeliest_tokens(trace: Trace, k: int) -> list[list[Prediction]]:
    """The ``k`` likeliest tokens after each of the ``T`` words, best first, as a screen shows them.

    Returns:
        ``T`` lists; all are empty where the trace has no distribution or no tokenizer.
    """
    return [likeliest_tokens_at(trace, t, k) for t in range(len(trace))]


def likeliest_tokens_at(trace: Trace, t: int, k: int) -> list[Prediction]:
    """The ``k`` likeliest tokens after the word at position ``t``; see ``likeliest_tokens``."""
    if trace.tokenizer is None or trace.logits is None:
        return []
    probabilities = softmax(trace.logits[t])
    best = np.argsort(-probabilities, kind="stable")[:k]
    return [
        Prediction(_display_token(trace.tokenizer, int(id)), float(probabilities[id]))
        for id in best
    ]


def _display_token(tokenizer: Tokenizer, id: int) -> str:
    if tokenizer.kind != "bpe" or id <= tokenizer.eol_id:
        return printable_word(show_token(tokenizer.token(id)))
    text = tokenizer.decode([id])
    bare = text.lstrip(" ")
    return "␣" * (len(text) - len(bare)) + printable_word(bare) if bare else printable_word(text)
