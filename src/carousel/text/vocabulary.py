"""Making a tokenizer's vocabulary from text."""

from __future__ import annotations

import json
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from carousel.errors import SettingsError, TextError, UnspacedScriptWarning
from carousel.text.library_threads import prepare_library_threads
from carousel.text.scripts import UNSPACED, script_of
from carousel.text.tokenizer import (
    END_OF_LINE,
    KINDS,
    UNKNOWN,
    Tokenizer,
    make_tokenizer,
    untrained_tokenizer,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers.trainers import Trainer

BPE_VOCAB_SIZE = 8000
"""How many tokens byte-pair encoding grows to where no size is given."""
SMALLEST_BPE_VOCAB = 258
"""All 256 bytes and the two special tokens."""
MAX_VOCAB_SIZE = 2**24


def train_tokenizer(
    kind: str,
    pieces: Iterable[str],
    *,
    lowercase: bool | None = None,
    min_count: int = 1,
    vocab_size: int | None = None,
) -> Tokenizer:
    r"""Make a tokenizer whose vocabulary is taken from a text.

    The vocabulary is ordered by count, then alphabetically, so the same text gives the same ids.
    The text is counted on all cores, and memory does not grow with it.

    Args:
        kind: ``words``, ``whitespace``, ``chars`` or ``bpe``.
        pieces: the text in pieces of one or many whole lines, with or without a last "\n".
        lowercase: lower upper case; None lowers it for ``words`` and for no other kind.
        min_count: how often a token must be seen to be in the vocabulary.
        vocab_size: the most tokens, the two special ones included; None for 8000 byte pairs and
            for all tokens of the other kinds.

    Raises:
        SettingsError: an unknown kind, or a size that can't be.
        TextError: a text without a single token.

    Warns:
        UnspacedScriptWarning: the text is of a script without spaces, and ``kind`` is ``words``.

    >>> train_tokenizer("words", ["the cat saw the dog"]).tokens()
    ['<unk>', '<eos>', 'the', 'cat', 'dog', 'saw']
    """
    if kind not in KINDS:
        raise SettingsError(f"tokens must be one of {', '.join(KINDS)}, not {kind!r}")
    if lowercase is None:
        lowercase = kind == "words"
    if kind == "bpe":
        return _train_bpe(pieces, lowercase, min_count, vocab_size or BPE_VOCAB_SIZE)
    size = max(0, (vocab_size or MAX_VOCAB_SIZE) - 2)
    if kind == "chars":
        tokens = _most_frequent_characters(pieces, lowercase, min_count, size)
    else:
        tokens = _most_frequent_words(pieces, kind, lowercase, min_count, size)
    if kind == "words":
        _warn_of_unspaced_script(tokens)
    # Text that spells a special token out (WikiText's own <unk>) means that token.
    tokens = [token for token in tokens if token not in (UNKNOWN, END_OF_LINE)]
    if not tokens:
        raise TextError(
            "the text holds only unknown words"
            + (f": none is seen {min_count} times; lower min_count" if min_count > 1 else "")
        )
    return make_tokenizer(kind, [UNKNOWN, END_OF_LINE, *tokens], lowercase=lowercase)


def _warn_of_unspaced_script(tokens: Sequence[str]) -> None:
    """Say so where most words are of scripts that put no spaces between words."""
    words = [token for token in tokens if token[0].isalpha()]
    scripts = Counter(script_of(word[0]) for word in words)
    unspaced = {script: scripts[script] for script in UNSPACED if scripts[script]}
    if sum(unspaced.values()) > len(words) / 2:
        script = UNSPACED[max(unspaced, key=unspaced.__getitem__)]
        warnings.warn(
            f"{script} is written without spaces, so that words are not separated here: choose "
            f"the tokenizer chars or bpe",
            UnspacedScriptWarning,
            stacklevel=3,
        )


def _most_frequent_words(
    pieces: Iterable[str], kind: str, lowercase: bool, min_count: int, size: int
) -> list[str]:
    from tokenizers import trainers

    library = untrained_tokenizer(kind, lowercase)
    trainer = trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=min_count, show_progress=False
    )
    _train(library, pieces, trainer)
    vocab: dict[str, int] = library.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)


def _most_frequent_characters(
    pieces: Iterable[str], lowercase: bool, min_count: int, size: int
) -> list[str]:
    """Python counts characters five times as fast as the library."""
    normalizer = untrained_tokenizer("chars", lowercase).normalizer
    counts: Counter[str] = Counter()
    for piece in pieces:
        counts.update(normalizer.normalize_str(piece))
    del counts["\n"]
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    return [character for character in ranked if counts[character] >= min_count][:size]


def _train_bpe(pieces: Iterable[str], lowercase: bool, min_count: int, size: int) -> Tokenizer:
    from tokenizers import models, pre_tokenizers, trainers

    if size < SMALLEST_BPE_VOCAB:
        raise SettingsError(f"vocab_size must be at least {SMALLEST_BPE_VOCAB} for bpe, not {size}")
    trained = untrained_tokenizer("bpe", lowercase)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=max(2, min_count),
        special_tokens=[UNKNOWN, END_OF_LINE],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    _train(trained, pieces, trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    # A fresh tokenizer, so that the special tokens are entries of the vocabulary and no more.
    library = untrained_tokenizer("bpe", lowercase)
    library.model = models.BPE(vocab=model["vocab"], merges=merges)
    return Tokenizer(library, "bpe", lowercase)


def _train(library: LibraryTokenizer, pieces: Iterable[str], trainer: Trainer) -> None:
    """Let the library's trainer read the lines of all pieces.

    Ctrl-C does not reach a thread that waits for the library. So another thread trains, and this
    one waits for it in Python; when it is interrupted, the other one gets no more lines.
    """
    prepare_library_threads()
    stopped = threading.Event()

    def lines() -> Iterator[str]:
        split = (piece.removesuffix("\n").split("\n") for piece in pieces)
        for line in chain.from_iterable(split):
            if stopped.is_set():
                return
            yield line

    with ThreadPoolExecutor(max_workers=1) as executor:
        training = executor.submit(library.train_from_iterator, lines(), trainer)
        try:
            training.result()
        except BaseException:
            stopped.set()
            raise
