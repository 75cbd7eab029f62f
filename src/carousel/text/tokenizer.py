r"""Tokenizers: how text is cut into tokens and put together again.

A thin face over Hugging Face ``tokenizers``, whose ``tokenizer.json`` is what is saved. Token 0 is
always the unknown word and token 1 the end of a line. Neither is an "added token" in the library's
sense: those would be matched inside a user's own text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from carousel.errors import FolderError, TextError
from carousel.text.detokenizer import detokenize
from carousel.text.library_threads import prepare_library_threads
from carousel.text.tokenizer_json import build_library, character_class

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers.pre_tokenizers import PreTokenizer

UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"
MASK = "<mask>"
"""A token that fills up windows of fixed length and is skipped, in models of other libraries."""
KINDS = ("words", "whitespace", "chars", "bpe")

EXTEND = "(?!\u200b)[\\p{M}\\p{Cf}\\p{Emoji_Modifier}]"
"""What belongs to the character before it (rule WB4 of Unicode's annex 29): combining marks,
joiners and other signs without width, colours of skin. U+200B, a space without width, separates."""
LETTERS = "[\\p{L}\ufffd](?:[\\p{L}\ufffd\u05f3]|" + EXTEND + ")*"
"""U+FFFD stands where a letter could not be read."""
MID_LETTER = "'\u00b7\u0387\u055f\u05f4\u2027"
"""What joins two letters into one word (rules WB6 and WB7): the apostrophe, Catalan's middle dot,
Hebrew's marks of abbreviation."""
PICTOGRAPH = r"\p{Extended_Pictographic}"
WORD = "|".join(
    (
        LETTERS + f"(?:[{MID_LETTER}](?:{EXTEND})*" + LETTERS + ")*",
        r"\p{N}(?:\p{N}|" + EXTEND + ")*",
        r"\p{Regional_Indicator}\p{Regional_Indicator}",
        PICTOGRAPH + "(?:" + EXTEND + "|(?<=\u200d)" + PICTOGRAPH + ")*",
        r"[^\s\p{L}\p{N}]\p{M}*",
    )
)
"""A word with its inner apostrophes, a number, a flag, an emoji sequence, or one other sign. It
cuts where Unicode's word boundaries are, but for numbers and names with signs in them: 3.14 and
example.com are several tokens. JavaScript reads the same pattern with its flag ``u``."""
FIRST_WORD = r"\p{L}[\p{L}\p{M}]*(?:'\p{L}[\p{L}\p{M}]*)*|\p{N}+|[^\s\p{L}\p{N}]"
"""The pattern of tokenizers of words that were made before joiners and emoji stayed together."""
CHARACTER = "."


class Tokenizer:
    """Turns text into token ids and back; made by ``train_tokenizer`` or ``from_json``.

    Any number of threads may use one tokenizer.

    >>> tokenizer = make_tokenizer("words", [UNKNOWN, END_OF_LINE, "krish", "likes", "pizza"])
    >>> tokenizer.encode("krish likes soup")
    [2, 3, 0]
    >>> tokenizer.decode([2, 3, 4])
    'krish likes pizza'
    """

    unknown_id = 0
    eol_id = 1

    def __init__(self, library: LibraryTokenizer, kind: str, lowercase: bool) -> None:
        self._library = library
        self.kind = kind
        """words, whitespace, chars or bpe."""
        self.lowercase = lowercase
        """Whether upper case is lowered on the way in."""
        self.forms: Mapping[str, str] = {}
        """How words are written that are not written in lower case; empty where that is unknown."""

    def __repr__(self) -> str:
        return f"Tokenizer({self.kind}, vocab_size={self.vocab_size})"

    @cached_property
    def vocab_size(self) -> int:
        """How many kinds of tokens there are, the two special ones included."""
        return int(self._library.get_vocab_size())

    @property
    def whole_words(self) -> bool:
        """Whether each token is a whole word or mark, and no part of a word."""
        return self.kind in ("words", "whitespace")

    def encode(self, text: str) -> list[int]:
        r"""The ids of ``text``, of any length; each "\n" inside is the end-of-line token."""
        check_text(text)
        if self.kind == "chars":
            return self._encode_characters(text)
        prepare_library_threads()
        encodings = self._library.encode_batch_fast(text.split("\n"), add_special_tokens=False)
        ids: list[int] = []
        for encoding in encodings:
            ids += encoding.ids
            ids.append(self.eol_id)
        ids.pop()  # the last line ends with the text
        return ids

    def encode_with_offsets(self, line: str) -> list[tuple[int, int, int]]:
        """The ids of one line, each with the place of its token: ``line[start:end]``.

        >>> tokenizer = make_tokenizer("words", [UNKNOWN, END_OF_LINE, "krish"], lowercase=True)
        >>> tokenizer.encode_with_offsets("Krish likes")
        [(2, 0, 5), (0, 6, 11)]
        """
        encoding = self._library.encode(line, add_special_tokens=False)
        places = zip(encoding.ids, encoding.offsets, strict=True)
        return [(id, start, end) for id, (start, end) in places]

    def _encode_characters(self, text: str) -> list[int]:
        """Look each character up: ten times as fast as the library, which cuts by a pattern."""
        ids, unknown = self._id_of_character, self.unknown_id
        return [ids.get(character, unknown) for character in self.normalize(text)]

    @cached_property
    def _id_of_character(self) -> dict[str, int]:
        return {**self._library.get_vocab(), "\n": self.eol_id}

    def decode(self, ids: Iterable[int]) -> str:
        """Text with natural spacing; the end-of-line token is a line break."""
        lines: list[list[int]] = [[]]
        for id in ids:
            if id == self.eol_id:
                lines.append([])
            else:
                lines[-1].append(int(id))
        return "\n".join(self._decode_line(line) for line in lines)

    def _decode_line(self, ids: list[int]) -> str:
        if self.kind == "bpe":
            return str(self._library.decode(ids, skip_special_tokens=False))
        tokens = [self.token(id) for id in ids]
        if self.kind == "chars":
            return "".join("\N{REPLACEMENT CHARACTER}" if t == UNKNOWN else t for t in tokens)
        return detokenize(tokens) if self.kind == "words" else " ".join(tokens)

    @cached_property
    def _tokens(self) -> list[str]:
        vocab: dict[str, int] = self._library.get_vocab()
        return sorted(vocab, key=vocab.__getitem__)

    def tokens(self) -> list[str]:
        """Every token, by id."""
        return list(self._tokens)

    def token(self, id: int) -> str:
        """The token of an id."""
        return self._tokens[id]

    def id(self, token: str) -> int | None:
        """The id of a token, or None where the vocabulary does not have it."""
        id: int | None = self._library.token_to_id(token)
        return id

    def is_word(self, id: int) -> bool:
        """Whether the token starts with a letter (and so can be suggested as a word)."""
        return id > self.eol_id and self.token(id)[:1].isalpha()

    def normalize(self, text: str) -> str:
        """``text`` in the form in which it is looked up: Unicode NFC, lower case if so chosen."""
        normalizer = self._library.normalizer
        return text if normalizer is None else str(normalizer.normalize_str(text))

    def split_prefix(self, text: str) -> tuple[str, str]:
        """Split off the last, half-typed word of a text.

        Returns:
            What stands before it, and the word as typed; ("" if the text does not end in one).

        >>> make_tokenizer("words", [UNKNOWN, END_OF_LINE, "krish"]).split_prefix("hello kri")
        ('hello ', 'kri')
        """
        check_text(text)
        last = re.search(r"\S+$", text)
        if last is None:
            return text, ""
        start = last.start()
        if self.kind != "whitespace":
            start += _start_of_last_word(last.group(), self._word_cutter)
        return text[:start], text[start:]

    @cached_property
    def _word_cutter(self) -> PreTokenizer:
        words = self.kind == "words"
        library = self._library if words else untrained_tokenizer("words", False)
        cutter: PreTokenizer = library.pre_tokenizer
        return cutter

    def to_json(self) -> str:
        """The text of a ``tokenizer.json``."""
        return str(self._library.to_str())

    @classmethod
    def from_json(cls, text: str, where: str = "tokenizer.json") -> Tokenizer:
        """The tokenizer of a ``tokenizer.json``.

        Args:
            text: the file's content.
            where: what an error calls the file.

        Raises:
            FolderError: the text is no tokenizer, or not one that Carousel made.
        """
        try:
            table = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise FolderError(f"{where} is not a tokenizer: {_first_line(error)}") from None
        kind = kind_of(table)
        try:
            if kind is None:
                raise ValueError("its pre_tokenizer")
            library = build_library(table, kind, (UNKNOWN, END_OF_LINE))
        except ValueError as error:
            raise FolderError(
                f"{where} is not a tokenizer that Carousel made: {_first_line(error)}"
            ) from None
        return cls(library, kind, "Lowercase" in json.dumps(table.get("normalizer")))


def check_text(text: object) -> None:
    """Check that a text is a string.

    Raises:
        TextError: it is something else.
    """
    if not isinstance(text, str):
        raise TextError(f"a text is a string, not {type(text).__name__}")


def make_tokenizer(
    kind: str,
    tokens: Sequence[str],
    *,
    lowercase: bool = False,
    filters: str = "",
    filter_to: str = " ",
) -> Tokenizer:
    """A tokenizer of ``words``, ``whitespace`` or ``chars`` with a vocabulary that is known.

    Args:
        kind: how text is cut.
        tokens: all tokens by id, each once; the first two are ``UNKNOWN`` and ``END_OF_LINE``.
        lowercase: lower upper case on the way in.
        filters: characters that are taken out before text is cut, such as punctuation.
        filter_to: what is put in the place of each: a space, or nothing.

    >>> make_tokenizer("chars", [UNKNOWN, END_OF_LINE, "a", "b"]).encode("abc")
    [2, 3, 0]
    """
    from tokenizers import models

    library = untrained_tokenizer(kind, lowercase, filters, filter_to)
    vocab = {token: id for id, token in enumerate(tokens)}
    library.model = models.WordLevel(vocab=vocab, unk_token=UNKNOWN)
    return Tokenizer(library, kind, lowercase)


def untrained_tokenizer(
    kind: str, lowercase: bool, filters: str = "", filter_to: str = " "
) -> LibraryTokenizer:
    """The library's tokenizer of a kind, without a vocabulary."""
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as LibraryTokenizer

    library = LibraryTokenizer(
        models.BPE() if kind == "bpe" else models.WordLevel(vocab={}, unk_token=UNKNOWN)
    )
    steps: list[Any] = [] if kind == "whitespace" else [normalizers.NFC()]
    if kind == "words":
        # A typographic apostrophe is the same letter of "don't" as a typed one.
        steps.append(normalizers.Replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    if lowercase:
        steps.append(normalizers.Lowercase())
    if filters:
        steps.append(normalizers.Replace(Regex(character_class(filters)), filter_to))
    if steps:
        library.normalizer = normalizers.Sequence(steps)
    if kind == "bpe":
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        library.decoder = decoders.ByteLevel()
    elif kind == "whitespace":
        library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    elif kind == "words":
        library.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    else:
        library.pre_tokenizer = pre_tokenizers.Split(Regex(CHARACTER), "isolated")
    return library


def kind_of(table: Any) -> str | None:
    """The kind of a ``tokenizer.json``, told by its pre-tokenizer; None for one of no such kind."""
    if not isinstance(table, dict):
        return None
    pre_tokenizer = table.get("pre_tokenizer")
    pre_tokenizer = pre_tokenizer if isinstance(pre_tokenizer, dict) else {}
    pattern = pre_tokenizer.get("pattern")
    pattern = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(pattern, str | None):
        return None
    kinds = {
        ("ByteLevel", None): "bpe",
        ("WhitespaceSplit", None): "whitespace",
        ("Split", WORD): "words",
        ("Split", FIRST_WORD): "words",
        ("Split", CHARACTER): "chars",
    }
    return kinds.get((str(pre_tokenizer.get("type")), pattern))


def _start_of_last_word(text: str, cutter: PreTokenizer) -> int:
    """Where the word begins that a text without white space ends in; its end if in none."""
    tokens = cutter.pre_tokenize_str(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    starts = [start for _, (start, _) in tokens]
    # An apostrophe at the end may be an inner one soon.
    if len(tokens) > 1 and tokens[-1][0][0] in MID_LETTER:
        starts.pop()
    return starts[-1] if text[starts[-1]].isalpha() else len(text)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0]
