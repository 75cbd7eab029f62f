"""Beam search: the likeliest of several continuations that are followed side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from carousel.errors import SettingsError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import take_sequences
from carousel.predict.next_words import read_ids
from carousel.softmax import log_softmax

if TYPE_CHECKING:
    from carousel.predict.generation import Continuation

MOST_BEAMS = 256


def search_text(model: RecurrentLM, start: Continuation, num_beams: int) -> str:
    """Return the likeliest text that a beam of ``num_beams`` continuations finds.

    A continuation that a stop text ends early is compared by its log-probability a token, as
    transformers does with ``length_penalty=1``.

    Args:
        model: the model.
        start: what is continued, and by which rules. Nothing is sampled.
        num_beams: how many continuations are followed.

    Raises:
        SettingsError: ``num_beams`` is out of its range, or there are settings of sampling.
    """
    settings = start.settings
    if not 1 <= num_beams <= MOST_BEAMS:
        raise SettingsError(f"num_beams must be between 1 and {MOST_BEAMS}, not {num_beams}")
    if (settings.temperature, settings.top_k, settings.top_p) != (1.0, 0, 1.0):
        raise SettingsError(
            "beam search samples nothing: leave out temperature, top_k and top_p, or num_beams"
        )
    beams = [(0.0, "", start)]
    hidden, state = read_ids(model, start.tokenizer, start.ids)
    logits = model.logits(hidden)[None]
    ended: list[tuple[float, str]] = []
    while beams:
        grown: list[tuple[float, int, int]] = []
        for row, (so_far, shown, beam) in enumerate(beams):
            scores = beam.rules.apply(log_softmax(logits[row].astype(np.float64)))
            if scores is None:
                ended.append((so_far / max(1, beam.count), shown + beam.copy().end("stop")))
                continue
            best = np.argsort(-scores, kind="stable")[:num_beams]
            grown += [(so_far + float(scores[id]), row, int(id)) for id in best]
        grown = sorted(grown, key=lambda one: -one[0])[:num_beams]
        before, beams, rows = beams, [], []
        for score, row, id in grown:
            if score == -np.inf:
                continue
            _, shown, beam = before[row]
            beam = beam.copy()
            shown += beam.accept(id)
            if beam.finish_reason is None:
                beams.append((score, shown, beam))
                rows.append(row)
            else:
                ended.append((score / beam.count, shown))
        # What has not ended can only become less likely.
        limit = settings.max_tokens
        if beams and len(ended) >= num_beams and max(ended)[0] >= beams[0][0] / limit:
            break
        if beams:
            tokens = [beam.token for *_, beam in beams]
            logits, state = model.step(tokens, take_sequences(state, rows))
    return max(ended, key=lambda one: one[0])[1]
