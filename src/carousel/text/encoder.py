"""A large text into ids, far faster than word after word, and with the same result.

No token crosses a space, so a text is cut into *chunks* at its spaces; the library encodes each
kind of chunk once, a dictionary knows it from then on, and NumPy lays the ids in a row. Characters
need no dictionary: a table by code point holds them.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

STRETCH = 2**15
"""Characters cut at a time: so few words that the processor's cache still holds them."""
KINDS_KEPT = 2**19
"""Kinds of chunks in the dictionary before it starts anew."""
CHARACTERS_KEPT = 2**24
"""And the characters that they have together."""
GROUP = 1000
"""Chunks that the library gets as one text."""
MARK = "\0"
"""Stands between chunks; a text that holds it itself is left to the library."""

# Python's split() takes these four for white space, Unicode and the library do not.
SEPARATORS = "\x1c\x1d\x1e\x1f"
STRETCHES = re.compile(rf"[\S{SEPARATORS}]+")
SPACE_BEFORE_WORD = re.compile(rf" (?=[^\s{MARK}])")
# All that is white space but " " and the line's end.
ODD_SPACES = "\t\r\v\f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, (*range(0x1C, 0x20), *range(0x2000, 0x200B)))
)


class Encoded(NamedTuple):
    """A stretch of text as ids."""

    ids: np.ndarray
    """``[N]``, ``uint32``."""
    words: int
    """Stretches without white space in the text as written."""


class Encoder(Protocol):
    """Turns text into ids."""

    def encode(self, text: str) -> Encoded:
        r"""The ids of ``text``; each "\n" in it is the end of a line."""


class LibraryEncoder:
    """Line after line by the library: the truth that the other encoders are equal to."""

    def __init__(self, backend: Backend, eol_id: int) -> None:
        self.backend, self.eol_id = backend, eol_id

    def encode(self, text: str) -> Encoded:
        """See ``Encoder``."""
        codes = self.backend.encode_batch_fast(text.split("\n"), add_special_tokens=False)
        ids = list(chain.from_iterable([*code.ids, self.eol_id] for code in codes))
        return Encoded(np.array(ids[:-1], dtype=np.uint32), len(text.split()))


class ChunkEncoder(ABC):
    """Words and byte pairs: the ids of each kind of chunk, by dictionary.

    Subclasses say how text is cut into chunks and what the ids of new ones are.
    """

    eol: str
    """The chunk that is the end of a line."""

    def __init__(self, backend: Backend, eol_id: int) -> None:
        self.backend, self.eol_id = backend, eol_id
        self.library = LibraryEncoder(backend, eol_id)
        self.forget()

    def forget(self) -> None:
        """Start with an empty dictionary."""
        self.numbers = Numbers(["", self.eol])
        self.characters = 0
        # Where in ``flat`` the ids of chunk n start, and how many they are.
        self.starts, self.lengths, self.flat = Row(), Row(), Row()
        self.starts.extend(np.array([0, 0]))
        self.lengths.extend(np.array([0, 1]))
        self.flat.extend(np.array([self.eol_id]))

    def encode(self, text: str) -> Encoded:
        """See ``Encoder``."""
        if len(text) <= STRETCH:
            return self._encode(text)
        parts = [self._encode(part) for part in cut_lines(text)]
        return Encoded(np.concatenate([p.ids for p in parts]), sum(p.words for p in parts))

    def _encode(self, text: str) -> Encoded:
        if MARK in text:
            return self.library.encode(text)
        if len(self.numbers) > KINDS_KEPT or self.characters > CHARACTERS_KEPT:
            self.forget()
        chunks, words = self.cut(text)
        numbers = np.fromiter(map(self.numbers.__getitem__, chunks), np.int32, len(chunks))
        new = self.numbers.take_new()
        if new:
            self.characters += sum(map(len, new))
            lengths, ids = self.encode_new(new)
            self.starts.extend(len(self.flat.values) + np.cumsum(lengths) - lengths)
            self.lengths.extend(lengths)
            self.flat.extend(ids)
        lengths = self.lengths.values[numbers]
        ends = np.cumsum(lengths, dtype=np.int32)
        places = np.repeat(self.starts.values[numbers] - (ends - lengths), lengths)
        places += np.arange(len(places), dtype=np.int32)
        return Encoded(self.flat.values[places].astype(np.uint32), words)

    @abstractmethod
    def cut(self, text: str) -> tuple[list[str], int]:
        """``text`` as chunks, line ends among them, and how many words it has."""

    def encode_new(self, chunks: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """How many ids each of the chunks has, and all of them in a row."""
        codes = self.backend.encode_batch_fast(chunks, add_special_tokens=False)
        rows = [code.ids for code in codes]
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return lengths, np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))


class WordEncoder(ChunkEncoder):
    """``words`` and ``whitespace``: a chunk is what stands between white space."""

    eol = MARK

    def __init__(self, backend: Backend, eol_id: int) -> None:
        super().__init__(backend, eol_id)
        self.mark_id, self.marking = with_mark(backend)

    def cut(self, text: str) -> tuple[list[str], int]:
        """See ``ChunkEncoder``."""
        return cut_words(text)

    def encode_new(self, chunks: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """See ``ChunkEncoder``: in few calls, with marks to tell the chunks apart."""
        ids = encode_marked(self.marking, chunks)
        ends = np.flatnonzero(ids == self.mark_id)
        return np.diff(ends, prepend=-1) - 1, np.delete(ids, ends)


class BytePairEncoder(ChunkEncoder):
    """``bpe``: a chunk is a word with the space before it, as byte-level BPE wants it."""

    eol = "\n"

    def cut(self, text: str) -> tuple[list[str], int]:
        """See ``ChunkEncoder``."""
        marked = text.replace("\n", MARK + "\n" + MARK)
        # A run of white space is one piece to the library, but for a space right before a word.
        if "  " in text or any(space in text for space in ODD_SPACES):
            marked = SPACE_BEFORE_WORD.sub(MARK + " ", marked)
        else:
            marked = marked.replace(" ", MARK + " ")
        return marked.split(MARK), len(text.split())


class CharacterEncoder:
    """``chars``: a table by code point, over text that is normalised first where it must be."""

    def __init__(self, backend: Backend, eol_id: int, lowercase: bool) -> None:
        self.backend, self.lowercase = backend, lowercase
        self.library = LibraryEncoder(backend, eol_id)
        self.plain = np.full(0x110000, -1, dtype=np.int8)  # -1: not met yet
        self.ids = np.zeros(0x110000, dtype=np.uint32)
        for token, id in backend.get_vocab().items():
            if len(token) == 1:
                self.ids[ord(token)] = id
        self.ids[ord("\n")] = eol_id
        self.space = np.zeros(0x110000, dtype=np.bool_)
        self.space[[ord(space) for space in " \n" + ODD_SPACES]] = True

    def encode(self, text: str) -> Encoded:
        """See ``Encoder``."""
        space = self.space[code_points(text)]
        words = int(np.count_nonzero(space[:-1] & ~space[1:])) + int(not space[:1].all())
        return Encoded(self.ids[self.normal_codes(text)], words)

    def normal_codes(self, text: str) -> np.ndarray:
        """The code points of ``text`` after normalisation."""
        codes = code_points(text)
        if self.lowercase or not self.all_plain(codes):
            codes = code_points(self.backend.normalizer.normalize_str(text))
        return codes

    def all_plain(self, codes: np.ndarray) -> bool:
        """Whether normalisation surely leaves these characters alone."""
        found = self.plain[codes]
        if (found < 0).any():
            for code in np.unique(codes[found < 0]):
                self.plain[code] = is_plain(chr(code), self.backend)
            found = self.plain[codes]
        return bool(found.all())


class Numbers(dict[str, int]):
    """Chunks numbered in the order in which they are first asked for."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__((chunk, number) for number, chunk in enumerate(known))
        self.new: list[str] = []

    def __missing__(self, chunk: str) -> int:
        self[chunk] = number = len(self)
        self.new.append(chunk)
        return number

    def take_new(self) -> list[str]:
        """The chunks that were numbered since the last call."""
        new, self.new = self.new, []
        return new


class Row:
    """Whole numbers in a row, ``int32``, that grow at their end."""

    def __init__(self) -> None:
        self.room = np.zeros(1024, dtype=np.int32)
        self.values = self.room[:0]

    def extend(self, more: np.ndarray) -> None:
        """Put ``more`` at the end."""
        size, wanted = len(self.values), len(self.values) + len(more)
        if wanted > len(self.room):
            self.room = np.concatenate([self.values, np.zeros(wanted, dtype=np.int32)])
        self.room[size:wanted] = more
        self.values = self.room[:wanted]


def make_encoder(backend: Backend, plain: Backend, kind: str, lowercase: bool, eol: int) -> Encoder:
    """The fastest encoder that is exact; ``plain`` is a backend as Carousel makes it."""
    if not _cuts_alike(backend, plain):
        return LibraryEncoder(backend, eol)
    if kind == "chars":
        return CharacterEncoder(backend, eol, lowercase)
    return (BytePairEncoder if kind == "bpe" else WordEncoder)(backend, eol)


def _cuts_alike(backend: Backend, plain: Backend) -> bool:
    """Whether a ``tokenizer.json`` from elsewhere does nothing that cutting at spaces changes."""
    model = backend.model
    return (
        type(model) is type(plain.model)
        and all(
            _state(getattr(backend, part)) == _state(getattr(plain, part))
            for part in ("normalizer", "pre_tokenizer")
        )
        and backend.truncation is None
        and backend.padding is None
        and not getattr(model, "dropout", None)
        and (model.unk_token is None or backend.token_to_id(model.unk_token) == 0)
    )


def cut_lines(text: str) -> Iterator[str]:
    r"""``text`` in parts of about ``STRETCH`` characters; all but the last end a line."""
    at = 0
    while at < len(text):
        end = text.find("\n", at + STRETCH - 1) + 1 or len(text)
        yield text[at:end]
        at = end


def cut_words(text: str) -> tuple[list[str], int]:
    r"""What stands between white space, with ``MARK`` for each "\n"; and how many words."""
    lines = text.count("\n")
    marked = text.replace("\n", f" {MARK} ") if lines else text
    if any(separator in text for separator in SEPARATORS):
        return STRETCHES.findall(marked), len(text.split())
    chunks = marked.split()
    return chunks, len(chunks) - lines


def with_mark(backend: Backend) -> tuple[int, Backend]:
    """A tokenizer that knows ``MARK`` as one more word, and that word's id."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    vocab = backend.get_vocab()
    id = len(vocab)
    made = Backend(models.WordLevel(vocab={**vocab, MARK: id}, unk_token=backend.model.unk_token))
    if backend.normalizer is not None:
        made.normalizer = backend.normalizer
    # White space on both sides keeps the mark a word where text is cut at white space alone.
    made.pre_tokenizer = backend.pre_tokenizer
    return id, made


def encode_marked(backend: Backend, chunks: Sequence[str]) -> np.ndarray:
    """The ids of all chunks in a row, the mark's id after each; see ``with_mark``."""
    texts = [
        f" {MARK} ".join([*chunks[at : at + GROUP], ""]) for at in range(0, len(chunks), GROUP)
    ]
    codes = backend.encode_batch_fast(texts, add_special_tokens=False)
    return np.fromiter(chain.from_iterable(code.ids for code in codes), dtype=np.int64)


def code_points(text: str) -> np.ndarray:
    """The characters of a text as numbers, ``[N]``."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def is_plain(character: str, backend: Backend) -> bool:
    """Whether Unicode's NFC leaves a character alone, whatever stands beside it.

    Marks, Hangul's letters and what Python's Unicode does not know yet may join others; so may
    some letters of the first supplementary plane.
    """
    if character < "\u0300":
        return True
    if "\u1100" <= character <= "\u11ff" or "\U00010000" <= character <= "\U0001efff":
        return False
    known = unicodedata.category(character)[0] not in "MC"
    return known and backend.normalizer.normalize_str(character) == character


def _state(part: object) -> object:
    return None if part is None else part.__getstate__()
