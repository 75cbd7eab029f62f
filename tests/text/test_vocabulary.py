"""Vocabularies against those that the library's own trainer makes."""

import signal
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import trainers

from carousel.errors import TextError
from carousel.text.tokenizer import END_OF_LINE, KINDS, UNKNOWN, untrained_tokenizer
from carousel.text.vocabulary import train_tokenizer
from odd_texts import TEXT, texts


def by_the_library(kind, lines, lowercase, min_count=1, vocab_size=2**24):
    library = untrained_tokenizer(kind, lowercase)
    special = [UNKNOWN, END_OF_LINE]
    library.train_from_iterator(
        lines,
        trainers.WordLevelTrainer(
            vocab_size=vocab_size,
            min_frequency=min_count,
            special_tokens=special,
            show_progress=False,
        ),
    )
    learned = library.get_vocab()
    return [*special, *sorted(learned.keys() - set(special), key=learned.__getitem__)]


@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("kind", ["words", "whitespace", "chars"])
@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(texts, max_size=3),
    min_count=st.integers(1, 3),
    vocab_size=st.sampled_from([3, 9, 2**24]),
)
def test_the_vocabulary_is_the_library_s(kind, lowercase, pieces, min_count, vocab_size):
    lines = [line for piece in pieces for line in piece.split("\n")]
    expected = by_the_library(kind, lines, lowercase, min_count, vocab_size)
    options = {"lowercase": lowercase, "min_count": min_count, "vocab_size": vocab_size}
    if len(expected) == 2:
        with pytest.raises(TextError):
            train_tokenizer(kind, pieces, **options)
    else:
        assert train_tokenizer(kind, pieces, **options).tokens() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_one_piece_or_many_lines_make_the_same_vocabulary(kind):
    lines = TEXT.splitlines(keepends=True) * 2
    assert train_tokenizer(kind, lines).to_json() == train_tokenizer(kind, [TEXT] * 2).to_json()


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_while_the_text_is_read_is_raised_as_it_is(kind):
    def pieces():
        yield "one line\n"
        raise TextError("t.txt can't be read: Input/output error")

    with pytest.raises(TextError, match=r"^t.txt can't be read: Input/output error$"):
        train_tokenizer(kind, pieces())


def test_ctrl_c_ends_the_counting_of_a_text_without_an_end():
    def pieces():
        while not stop.is_set():
            yield "the same line again\n" * 100

    stop = threading.Event()
    main = threading.main_thread().ident
    threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT]).start()
    giving_up = threading.Timer(30, stop.set)
    giving_up.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train_tokenizer("words", pieces())
    giving_up.cancel()
    assert time.monotonic() - began < 20
