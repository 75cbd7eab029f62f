"""Tokenizers: how text is cut into tokens and put together again.

A thin face over Hugging Face ``tokenizers``, whose ``tokenizer.json`` is what is saved. Token 0 is
always the unknown word and token 1 the end of a line. Neither is an "added token" in the library's
sense: those would be matched inside a user's own text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from carousel.errors import FolderError, SettingsError, TextError
from carousel.text.counting import make_counter
from carousel.text.detokenizer import join_words
from carousel.text.encoder import Encoder, make_encoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"
KINDS = ("words", "whitespace", "chars", "bpe")

WORD = r"\p{L}[\p{L}\p{M}]*(?:'\p{L}[\p{L}\p{M}]*)*|\p{N}+|[^\s\p{L}\p{N}]"
"""A word with its inner apostrophes, a number, or one other mark."""
CHARACTER = "."
BPE_SIZE = 8000
"""How many tokens byte-pair encoding grows to where no size is given."""
MOST_TOKENS = 2**24


class Tokenizer:
    """Turns text into token ids and back; made by ``train_tokenizer`` or ``from_json``."""

    unknown_id = 0
    eol_id = 1

    def __init__(self, backend: Backend, kind: str, lowercase: bool) -> None:
        self._backend = backend
        self.kind = kind
        """words, whitespace, chars or bpe."""
        self.lowercase = lowercase
        """Whether upper case is lowered on the way in."""

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, vocab_size={self.vocab_size})"

    @property
    def whole_words(self) -> bool:
        """Whether each token is a whole word, a number or a mark, and never a part of a word."""
        return self.kind in ("words", "whitespace")

    @cached_property
    def vocab_size(self) -> int:
        """How many kinds of tokens there are, the two special ones included."""
        return int(self._backend.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """The ids of ``text``; each line break inside is the end-of-line token."""
        ids: list[int] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                ids.append(self.eol_id)
            ids += self._backend.encode(line, add_special_tokens=False).ids
        return ids

    @cached_property
    def encoder(self) -> Encoder:
        """The same ids as ``encode``, for large texts, many times faster."""
        plain = make_backend(self.kind, self.lowercase)
        return make_encoder(self._backend, plain, self.kind, self.lowercase, self.eol_id)

    def decode(self, ids: Iterable[int]) -> str:
        """Text with natural spacing; the end-of-line token is a line break."""
        lines: list[list[int]] = [[]]
        for token in ids:
            if token == self.eol_id:
                lines.append([])
            else:
                lines[-1].append(int(token))
        return "\n".join(self._decode_line(line) for line in lines)

    def _decode_line(self, ids: list[int]) -> str:
        if self.kind == "bpe":
            return str(self._backend.decode(ids, skip_special_tokens=False))
        tokens = [self.token(i) for i in ids]
        if self.kind == "chars":
            return "".join("\N{REPLACEMENT CHARACTER}" if t == UNKNOWN else t for t in tokens)
        return join_words(tokens) if self.kind == "words" else " ".join(tokens)

    @cached_property
    def _tokens(self) -> list[str]:
        vocab: dict[str, int] = self._backend.get_vocab()
        return sorted(vocab, key=vocab.__getitem__)

    def tokens(self) -> list[str]:
        """Every token, by id."""
        return list(self._tokens)

    def token(self, id: int) -> str:
        """The token of an id."""
        return self._tokens[id]

    def id(self, token: str) -> int | None:
        """The id of a token, or None."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def is_word(self, id: int) -> bool:
        """Whether the token starts with a letter (and so can be suggested as a word)."""
        return id > self.eol_id and self.token(id)[:1].isalpha()

    def normalize(self, text: str) -> str:
        """What normalisation alone makes of ``text`` (Unicode NFC, lower case)."""
        normalizer = self._backend.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def split_prefix(self, text: str) -> tuple[str, str]:
        """``text`` as what stands before its last, half-typed word, and that word ("" if none)."""
        pattern = r"\S+$" if self.kind == "whitespace" else r"[^\W\d_]+(?:['’][^\W\d_]+)*['’]?$"
        found = re.search(pattern, text)
        return (text, "") if found is None else (text[: found.start()], found.group())

    def to_json(self) -> str:
        """The text of a ``tokenizer.json``."""
        return str(self._backend.to_str(pretty=True))

    @classmethod
    def from_json(cls, text: str, where: str = "tokenizer.json") -> Tokenizer:
        """The tokenizer of a ``tokenizer.json``.

        Raises:
            FolderError: the text is no tokenizer, or not one that Carousel made.
        """
        from tokenizers import Tokenizer as Backend

        try:
            table = json.loads(text)
            backend = Backend.from_str(text)
        # The library raises a bare Exception for whatever it can't read.
        except Exception as error:
            raise FolderError(f"{where} is not a tokenizer: {_first_line(error)}") from None
        kind = kind_of(table)
        tokenizer = cls(backend, kind or "", "Lowercase" in json.dumps(table.get("normalizer")))
        vocab = backend.get_vocab()
        if (
            kind is None
            or table.get("added_tokens")
            or sorted(vocab.values()) != list(range(len(vocab)))
            or (vocab.get(UNKNOWN), vocab.get(END_OF_LINE)) != (0, 1)
        ):
            raise FolderError(f"{where} is a tokenizer, but not one that Carousel made")
        return tokenizer


def train_tokenizer(
    kind: str,
    pieces: Iterable[str],
    *,
    lowercase: bool | None = None,
    min_count: int = 1,
    vocab_size: int | None = None,
    workers: int = 1,
) -> Tokenizer:
    r"""Make a tokenizer from a text's pieces: one or many whole lines, with or without a last "\n".

    The vocabulary is ordered by count, then alphabetically, so the same text gives the same ids.
    ``lowercase`` None means so for ``words`` and not for the others; ``vocab_size`` counts the two
    special tokens. With more than one of ``workers``, so many processes count; byte pairs are
    learned on all cores in any case.

    Raises:
        SettingsError: an unknown kind or a size that can't be.
        TextError: a text without a single token.
    """
    if kind not in KINDS:
        raise SettingsError(f"tokens must be one of {', '.join(KINDS)}, not {kind!r}")
    if lowercase is None:
        lowercase = kind == "words"
    if kind == "bpe":
        return _train_byte_pairs(pieces, lowercase, min_count, vocab_size or BPE_SIZE)
    often = (
        (-n, token)
        for token, n in _count(pieces, kind, lowercase, workers).items()
        if n >= min_count
    )
    words = [token for _, token in sorted(often)][: (vocab_size or MOST_TOKENS) - 2]
    # Text that spells a special token out (WikiText's own <unk>) means that token.
    words = [word for word in words if word not in (UNKNOWN, END_OF_LINE)]
    if not words:
        raise TextError(
            "the text holds only unknown words"
            + (f": none is seen {min_count} times; lower min_count" if min_count > 1 else "")
        )
    return make_tokenizer(kind, [UNKNOWN, END_OF_LINE, *words], lowercase=lowercase)


def _count(pieces: Iterable[str], kind: str, lowercase: bool, workers: int) -> Counter[str]:
    if workers > 1:
        from carousel.text.workers import count_side_by_side

        return count_side_by_side(pieces, kind, lowercase, workers)
    counter = make_counter(make_backend(kind, lowercase), kind, lowercase)
    for piece in pieces:
        counter.feed(piece)
    return counter.totals()


def _train_byte_pairs(
    pieces: Iterable[str], lowercase: bool, min_count: int, size: int
) -> Tokenizer:
    from tokenizers import models, pre_tokenizers, trainers

    if size < 258:
        raise SettingsError(f"vocab_size must be at least 258 for bpe, not {size}")
    backend = make_backend("bpe", lowercase)
    backend.train_from_iterator(
        chain.from_iterable(piece.removesuffix("\n").split("\n") for piece in pieces),
        trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=max(2, min_count),
            special_tokens=[UNKNOWN, END_OF_LINE],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    # A fresh backend, so that the special tokens are entries of the vocabulary and no more.
    fresh = make_backend("bpe", lowercase)
    fresh.model = models.BPE(vocab=model["vocab"], merges=merges)
    return Tokenizer(fresh, "bpe", lowercase)


def make_tokenizer(kind: str, tokens: Sequence[str], *, lowercase: bool = False) -> Tokenizer:
    """A tokenizer of ``words``, ``whitespace`` or ``chars`` with a vocabulary that is known.

    ``tokens`` are all tokens by id, each once; the first two are ``UNKNOWN`` and ``END_OF_LINE``.
    """
    from tokenizers import models

    backend = make_backend(kind, lowercase)
    vocab = {token: id for id, token in enumerate(tokens)}
    backend.model = models.WordLevel(vocab=vocab, unk_token=UNKNOWN)
    return Tokenizer(backend, kind, lowercase)


def make_backend(kind: str, lowercase: bool) -> Backend:
    """The library's tokenizer of a kind, without a vocabulary."""
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Backend

    backend = Backend(
        models.BPE() if kind == "bpe" else models.WordLevel(vocab={}, unk_token=UNKNOWN)
    )
    steps: list[Any] = [] if kind == "whitespace" else [normalizers.NFC()]
    if kind == "words":
        # A typographic apostrophe is the same letter of "don't" as a typed one.
        steps.append(normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    if lowercase:
        steps.append(normalizers.Lowercase())
    if steps:
        backend.normalizer = normalizers.Sequence(steps)
    if kind == "bpe":
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    elif kind == "whitespace":
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    elif kind == "words":
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    else:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(CHARACTER), "isolated")
    return backend


def kind_of(table: Any) -> str | None:
    """The kind that a ``tokenizer.json``'s way to cut text is, or None where it is none of ours."""
    if not isinstance(table, dict):
        return None
    pre = table.get("pre_tokenizer")
    pre = pre if isinstance(pre, dict) else {}
    pattern = pre.get("pattern")
    pattern = pattern.get("Regex") if isinstance(pattern, dict) else None
    found = {
        ("ByteLevel", None): "bpe",
        ("WhitespaceSplit", None): "whitespace",
        ("Split", WORD): "words",
        ("Split", CHARACTER): "chars",
    }
    return found.get((str(pre.get("type")), pattern))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0]
