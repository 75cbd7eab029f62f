"""Keras's vocabularies: ``Tokenizer.to_json()`` and TextVectorization, with how they cut text."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from carousel.convert.keras_file import KerasLayer
from carousel.convert.vocabulary import ABSENT, Vocabulary, read_table, read_vocabulary
from carousel.errors import ConvertError
from carousel.storage.strict_json import parse_json
from carousel.text.tokenizer import END_OF_LINE, MASK, UNKNOWN, make_tokenizer

PADDING = 0
"""The row that Keras fills windows up with."""
STRIPPED = string.punctuation
"""What TextVectorization takes out of texts by default."""


class KerasVocabulary(NamedTuple):
    """The tokens by row, and how text is cut into them."""

    tokens: list[str | None]
    """None for a row that no word leads to."""
    kind: str
    """``whitespace`` or ``chars``."""
    lowercase: bool
    filters: str
    """Characters that are taken out of texts."""
    filter_to: str
    """What is put in their place: a space or nothing."""
    unknown: str | None
    """The token of unknown words."""
    notes: tuple[str, ...]


def find_vectorization(layers: Sequence[KerasLayer]) -> Any:
    """The configuration of a TextVectorization that the model begins with; None without one."""
    return next((layer.config for layer in layers if layer.kind == "TextVectorization"), None)


def read_keras_vocabulary(
    path: Path | None,
    vectorization: Any,
    rows: int,
    *,
    masked: bool,
    tokens: str | None = None,
    lowercase: bool = False,
    eol: str | None = None,
    unk: str | None = None,
) -> Vocabulary:
    """The tokenizer of a Keras model, and the row that each of its tokens had.

    Args:
        path: the vocabulary's file; None for that of ``vectorization``.
        vectorization: the configuration of a TextVectorization layer in the model, or None.
        rows: how many rows the embedding has.
        masked: whether row 0 is skipped; else it is the end of a line.
        tokens: how text is cut, where the vocabulary does not say it.
        lowercase: lower upper case, where the vocabulary does not say it.
        eol: the token that ends a line.
        unk: the token of unknown words.

    Raises:
        ConvertError: what in the file can't be a vocabulary.
    """
    if path is None:
        table = vectorization if vectorization and vectorization.get("vocabulary") else None
        if table is None:
            raise ConvertError("it holds no vocabulary: name a file with --vocab")
    else:
        table = read_table(path)
    known = _tokenizer(table) or _vectorization(table, vectorization)
    if known is None or tokens is not None:
        if path is None:
            raise ConvertError("its TextVectorization cuts text by a function of its own")
        add_eol = eol is None and not _ends_lines(table)
        return read_vocabulary(
            path, tokens=tokens, lowercase=lowercase, eol=eol, unk=unk, add_eol=add_eol
        )
    return _to_vocabulary(known, rows, masked=masked, eol=eol, unk=unk)


def _ends_lines(table: Any) -> bool:
    """Whether a plain vocabulary has a token that ends lines."""
    return any(token in table for token in (END_OF_LINE, "</s>", "\n"))


def _tokenizer(table: Any) -> KerasVocabulary | None:
    """What ``Tokenizer.to_json()`` wrote: tables inside are JSON in strings."""
    config = table.get("config") if isinstance(table, dict) else None
    if not isinstance(config, dict) or "word_index" not in config:
        return None
    index = config["word_index"]
    index = parse_json(index, "its word_index") if isinstance(index, str) else index
    if not isinstance(index, dict) or not all(type(id) is int for id in index.values()):
        raise ConvertError("its word_index is no table of words and their ids")
    limit = config.get("num_words")
    ids = {id: word for word, id in index.items() if 0 < id < (limit or len(index) + 1) and word}
    listed: list[str | None] = [ids.get(id) for id in range(max(ids, default=0) + 1)]
    chars, filters = bool(config.get("char_level")), config.get("filters") or ""
    if not chars and config.get("split", " ") != " ":
        raise ConvertError(f"its words are split at {config.get('split')!r}, not at spaces")
    unknown = config.get("oov_token")
    notes = () if unknown else (
        "Keras leaves unknown words out; here they read as nothing, which still is a step",
    )  # fmt: skip
    lower = bool(config.get("lower", True))
    kind = "chars" if chars else "whitespace"
    return KerasVocabulary(listed, kind, lower, "" if chars else filters, " ", unknown, notes)


def _vectorization(table: Any, config: Any) -> KerasVocabulary | None:
    """The vocabulary of a TextVectorization: alone as a list, or inside its configuration."""
    if isinstance(table, dict) and isinstance(table.get("config"), dict):
        table = table["config"]
    if isinstance(table, dict):
        config, table = table, table.get("vocabulary")
    if not isinstance(table, list) or not all(type(token) is str for token in table):
        return None
    config = config or {}
    if table[:1] != [""]:
        # Its configuration may leave the padding and the unknown word out.
        if "standardize" not in config:
            return None
        table = ["", "[UNK]", *table]
    standardize = config.get("standardize", "lower_and_strip_punctuation")
    split = config.get("split", "whitespace")
    if split not in ("whitespace", "character") or standardize not in (
        None, "lower", "strip_punctuation", "lower_and_strip_punctuation",
    ):  # fmt: skip
        return None
    kind = "chars" if split == "character" else "whitespace"
    stripped = STRIPPED if "strip" in (standardize or "") else ""
    lower = "lower" in (standardize or "")
    notes = (f"text is cut as TextVectorization does: standardize={standardize}, split={split}",)
    unknown = table[1] if len(table) > 1 else None
    return KerasVocabulary([None, *table[1:]], kind, lower, stripped, "", unknown, notes)


def _to_vocabulary(
    known: KerasVocabulary, rows: int, *, masked: bool, eol: str | None, unk: str | None
) -> Vocabulary:
    """The tokenizer with our two special tokens first, and rows without a word under made names."""
    if len(known.tokens) > rows:
        raise ConvertError(
            f"the vocabulary has words up to id {len(known.tokens) - 1}, but the Embedding has "
            f"{rows} rows"
        )
    notes = list(known.notes)
    listed = [*known.tokens, *[None] * (rows - len(known.tokens))]
    names = [f"<unused-{row}>" if token is None else token for row, token in enumerate(listed)]
    unused = listed[1:].count(None)
    if unused:
        notes.append(f"rows that no word has: {unused}; they are kept, so that nothing changes")
    unknown = _row(names, unk or known.unknown, "--unk")
    if eol is None and known.kind == "chars" and "\n" in names:
        eol = "\n"
    if masked:
        names[PADDING] = MASK
        end = _row(names, eol, "--eol")
        if end is None:
            notes.append("an end of line is added: it reads as nothing and is never predicted")
    else:
        end = PADDING if eol is None else _row(names, eol, "--eol")
        if end == PADDING:
            notes.append("the padding, row 0, is the end of a line, with which a text begins")
    if unknown is None:
        notes.append("the unknown word is added: it reads as nothing and is never predicted")
    first = [ABSENT if row is None else row for row in (unknown, end)]
    order = [*first, *(row for row in range(rows) if row not in first)]
    tokens = [UNKNOWN, END_OF_LINE, *(names[row] for row in order[2:])]
    if len(set(tokens)) != len(tokens) or end == unknown is not None:
        raise ConvertError("a word of the vocabulary is there twice, or called as a special token")
    tokenizer = make_tokenizer(
        known.kind,
        tokens,
        lowercase=known.lowercase,
        filters=known.filters,
        filter_to=known.filter_to,
    )
    return Vocabulary(tokenizer, tuple(order), tuple(notes))


def _row(names: Sequence[str], token: str | None, flag: str) -> int | None:
    if token is None:
        return None
    if token not in names:
        raise ConvertError(f"{flag}: {token!r} is not in the vocabulary")
    return names.index(token)
