"""How good a model is on a text: perplexity, ranks of the next word, keystrokes saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from carousel.errors import TextError
from carousel.inference.model import RecurrentLM
from carousel.inference.state import where_sequences
from carousel.ngram import measure_baselines
from carousel.predict.word_index import word_index
from carousel.text.corpus import Counts, build_corpus
from carousel.text.files import ProgressCallback
from carousel.text.tokenizer import Tokenizer

MOST_STREAMS = 32
SHORTEST_STREAM = 1024
"""Tokens that a stream has at least, so that short texts are read in one."""
WARM_UP = 64
"""Tokens that each stream reads before its own first one: where it is cut then matters little."""
BPTT = 32
LOGIT_BYTES = 48 * 2**20
MOST_TYPED = 20_000
"""Positions on which keystrokes are counted, evenly spread over the text."""
SUGGESTIONS = 3
LONGEST = 48
"""Letters of a word that are compared; longer words differ before."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found. Values that a model's tokens don't allow are None."""

    tokens: int
    words: int
    """Words as written (between white space)."""
    characters: int
    unknown_rate: float
    """The share of tokens that the model does not know."""
    nats_per_token: float
    perplexity: float
    """Per token."""
    perplexity_per_word: float
    """``exp(nats / (words + lines))``: one event a word and one a line's end, so that models with
    different tokens can be compared (unknown words come cheap: compare at a like unknown_rate)."""
    bits_per_character: float
    next_words: int | None
    """Positions where a word (a token that starts with a letter, or an unknown one) comes next."""
    recall_at_1: float | None
    """How often the next word is the likeliest; unknown words count as misses."""
    recall_at_3: float | None
    recall_at_5: float | None
    mean_reciprocal_rank: float | None
    """Of the next word among all words."""
    keystrokes_saved: float | None
    """``1 - keystrokes / characters`` with three suggestions always shown: a word costs the letters
    typed until it is among the three likeliest that start so, and one tap, which also gives the
    space; else its letters and the space (Vertanen et al. 2015; MacKenzie 2002, KSPC)."""
    keystroke_positions: int | None
    """On so many words, evenly spread, the keystrokes were counted."""
    unigram_perplexity: float | None = None
    """Per token, of a unigram of the ``baseline`` text: what each token's frequency alone gives."""
    five_gram_perplexity: float | None = None
    """Per token, of a 5-gram of the ``baseline`` text (interpolated Kneser-Ney)."""


def evaluate(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    files: Sequence[Path],
    *,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    baseline: Sequence[Path] = (),
    cache: Path | None = None,
    on_progress: ProgressCallback | None = None,
) -> Evaluation:
    """Read ``files`` of any size through ``model``; every token is predicted once.

    The text is read in up to 32 contiguous streams side by side, each after a warm-up on what
    stands before it, in bounded memory. Ranks and keystrokes are for models of words.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        files: text files.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
        baseline: the text that the model was trained on. A unigram and a 5-gram of it are then
            measured on ``files``, too, over the same tokens.
        cache: the folder that keeps tokenized text; None for the usual one.
        on_progress: ``on_progress(done, total)`` counts tokens.

    Raises:
        TextError: a file can't be read, or has only unknown words.
    """
    corpus = build_corpus(
        files, tokenizer, encoding=encoding, encoding_errors=encoding_errors, cache=cache
    )
    if corpus.counts.unknown and corpus.counts.unknown + corpus.counts.lines >= len(corpus.ids):
        raise TextError("every word of the text is unknown to this model")
    result = evaluate_ids(model, tokenizer, corpus.ids, corpus.counts, on_progress=on_progress)
    if not baseline:
        return result
    trained = build_corpus(
        baseline, tokenizer, encoding=encoding, encoding_errors=encoding_errors, cache=cache
    )
    found = measure_baselines(trained.ids, corpus.ids, tokenizer.vocab_size, tokenizer.eol_id)
    return replace(result, unigram_perplexity=found.unigram, five_gram_perplexity=found.five_gram)


def evaluate_ids(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    ids: np.ndarray,
    counts: Counts,
    *,
    on_progress: ProgressCallback | None = None,
) -> Evaluation:
    """Evaluate on token ids ``[N]``, with the counts of their text; see ``evaluate``."""
    statistics = _Statistics(model, tokenizer, ids)
    # A model that remembers its last words must have read them before a stream's own first one.
    # One that learns from all of them reads the text in one stream.
    context = model.backend.context
    warm_up = BPTT * -(-(WARM_UP + (context or 0)) // BPTT)
    streams = 1
    if context is not None:
        streams = max(1, min(MOST_STREAMS, len(ids) // max(SHORTEST_STREAM, warm_up)))
    warm_up = 0 if streams == 1 else warm_up
    length = -(-len(ids) // streams)
    starts = np.arange(streams) * length
    # Before the text stands a line end, at position 0: the id ``ids[p]`` has the position p + 1.
    state = fresh = model.initial_state(streams)
    for offset in range(-warm_up, length, BPTT):
        # Position p predicts ids[p] from what stands before it.
        where = starts[None, :] + np.arange(offset, min(offset + BPTT, length))[:, None]
        inputs = np.where(where >= 1, ids[np.clip(where - 1, 0, len(ids) - 1)], tokenizer.eol_id)
        if offset == -warm_up:
            state = model.initial_state(streams, np.maximum(where[0], 0))
        reading = model.read(inputs.astype(np.int64), state)
        state = reading.state
        if offset < 0:
            # The text's own start has nothing to warm up on.
            state = where_sequences(where[0] < 0, fresh, state)
            continue
        scored = (where < len(ids)) & (where < starts[None, :] + length)
        statistics.add(reading.hidden[scored], where[scored])
        if on_progress:
            on_progress(statistics.tokens, len(ids))
    return statistics.result(counts)


class _Statistics:
    def __init__(self, model: RecurrentLM, tokenizer: Tokenizer, ids: np.ndarray) -> None:
        self.model, self.tokenizer, self.ids = model, tokenizer, ids
        self.tokens, self.nats = 0, 0.0
        self.by_words = tokenizer.whole_words
        self.next_words = self.typed = self.keystrokes = self.letters = 0
        self.hits = np.zeros(3)
        self.reciprocal = 0.0
        if not self.by_words:
            return
        self.words = word_index(tokenizer).mask
        self.counted = self.words.copy()
        self.counted[tokenizer.unknown_id] = True
        total = sum(
            int(self.counted[ids[start : start + 2**20]].sum())
            for start in range(0, len(ids), 2**20)
        )
        self.stride = max(1, -(-total // MOST_TYPED))
        tokens = tokenizer.tokens()
        self.lengths = np.array([len(token) for token in tokens])
        self.spelling = _spelling(tokens)

    def add(self, hidden: np.ndarray, where: np.ndarray) -> None:
        rows = max(1, LOGIT_BYTES // (4 * self.model.config.vocab_size))
        for first in range(0, len(hidden), rows):
            self._add(hidden[first : first + rows], where[first : first + rows])

    def _add(self, hidden: np.ndarray, where: np.ndarray) -> None:
        targets = self.ids[where].astype(np.int64)
        logits = self.model.logits(hidden)
        picked = logits[np.arange(len(targets)), targets]
        if self.by_words:
            self._rank(logits, targets, picked, where)
        top = logits.max(axis=1, keepdims=True)
        logits -= top
        np.exp(logits, out=logits)
        normaliser = np.log(logits.sum(axis=1, dtype=np.float64)) + top[:, 0]
        self.nats += float((normaliser - picked).sum())
        self.tokens += len(targets)

    def _rank(
        self, logits: np.ndarray, targets: np.ndarray, picked: np.ndarray, where: np.ndarray
    ) -> None:
        counted = np.flatnonzero(self.counted[targets])
        self.next_words += len(counted)
        known = counted[targets[counted] != self.tokenizer.unknown_id]
        better = (logits[known] > picked[known, None]) & self.words
        ranks = 1 + better.sum(axis=1)
        self.hits += [(ranks <= k).sum() for k in (1, 3, 5)]
        self.reciprocal += float((1.0 / ranks).sum())
        # Which positions are typed depends on the position alone, not on how the text was cut.
        for row in counted[where[counted] % self.stride == 0]:
            self.typed += 1
            if targets[row] == self.tokenizer.unknown_id:
                continue
            length = int(self.lengths[targets[row]])
            rivals = np.flatnonzero((logits[row] > picked[row]) & self.words)
            self.letters += length + 1
            self.keystrokes += min(1 + self._typed_letters(targets[row], rivals), length + 1)

    def _typed_letters(self, target: int, rivals: np.ndarray) -> int:
        """Letters to type until fewer than three likelier words start so."""
        if len(rivals) < SUGGESTIONS:
            return 0
        same = np.cumprod(self.spelling[rivals] == self.spelling[target], axis=1, dtype=np.uint8)
        common = np.sort(np.minimum(same.sum(axis=1), self.lengths[target]))
        return 1 + int(common[-SUGGESTIONS])

    def result(self, counts: Counts) -> Evaluation:
        per_token = self.nats / self.tokens
        n = self.next_words
        some = self.by_words and n > 0
        return Evaluation(
            tokens=self.tokens,
            words=counts.words,
            characters=counts.characters,
            unknown_rate=counts.unknown / max(1, counts.tokens),
            nats_per_token=per_token,
            perplexity=_exp(per_token),
            perplexity_per_word=_exp(self.nats / max(1, counts.words + counts.lines)),
            bits_per_character=self.nats / math.log(2) / max(1, counts.characters),
            next_words=n if self.by_words else None,
            recall_at_1=float(self.hits[0] / n) if some else None,
            recall_at_3=float(self.hits[1] / n) if some else None,
            recall_at_5=float(self.hits[2] / n) if some else None,
            mean_reciprocal_rank=self.reciprocal / n if some else None,
            keystrokes_saved=1 - self.keystrokes / self.letters if self.letters else None,
            keystroke_positions=self.typed if self.by_words else None,
        )


def _spelling(tokens: Sequence[str]) -> np.ndarray:
    """``[V, LONGEST]``: each token's characters as numbers, 0 after its end."""
    table = np.zeros((len(tokens), LONGEST), dtype=np.uint32)
    for row, token in enumerate(tokens):
        letters = [ord(char) for char in token[:LONGEST]]
        table[row, : len(letters)] = letters
    return table


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700))
