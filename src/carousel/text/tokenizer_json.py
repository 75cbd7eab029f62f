"""A ``tokenizer.json`` into the library's tokenizer, which is built anew from parts that are known.

The library reads whatever such a file asks for: a chain of replacements without end, padding to
2^40 tokens, truncation. None of that is taken over. The vocabulary and the merges are checked, the
steps before them are those that are listed here, and a file with anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

NORMALIZERS = (
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "BertNormalizer",
)  # fmt: skip
"""Steps without arguments, or whose arguments are true, false or null."""
MAX_NORMALIZERS = 8
APOSTROPHE = {
    "type": "Replace",
    "pattern": {"String": "\N{RIGHT SINGLE QUOTATION MARK}"},
    "content": "'",
}
"""The one replacement of text that is known."""
CHARACTER_CLASS = re.compile(r"\[(?:\\[\\\]\[^-]|[^\\\]\[^-]){1,1000}\]")
"""What ``character_class`` makes."""
EMPTY_PARTS = ("truncation", "padding", "added_tokens", "post_processor")
"""Parts that must be empty: a text is read whole, and nothing is put around it."""
PARTS = {*EMPTY_PARTS, "version", "normalizer", "pre_tokenizer", "decoder", "model"}
WORD_LEVEL_KEYS = {"type", "vocab", "unk_token"}
BPE_EMPTY = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
"""Settings of byte pairs that must be off."""
BPE_FLAGS = ("fuse_unk", "ignore_merges")
BPE_KEYS = {*WORD_LEVEL_KEYS, "merges", *BPE_EMPTY, *BPE_FLAGS}


def character_class(characters: str) -> str:
    r"""A pattern of one of some characters, as the library and JavaScript read it.

    >>> character_class("!]")
    '[!\\]]'
    """
    escaped = (f"\\{c}" if c in "\\[]^-" else c for c in dict.fromkeys(characters))
    return f"[{''.join(escaped)}]"


def build_library(
    table: dict[str, Any], kind: str, first_tokens: Sequence[str]
) -> LibraryTokenizer:
    """Build the library's tokenizer from the table of a ``tokenizer.json``.

    Args:
        table: the parsed file, whose pre-tokenizer is of a known type with a known pattern.
        kind: the kind of tokenizer that these make.
        first_tokens: the tokens that must have the first ids; the first is the unknown word.

    Raises:
        ValueError: what in the file is not known.
    """
    from tokenizers import Tokenizer as LibraryTokenizer
    from tokenizers import decoders

    _check(table.keys() <= PARTS, f"it has {', '.join(sorted(table.keys() - PARTS)[:3])}")
    for part in EMPTY_PARTS:
        _check(not table.get(part), f"it has {part}")
    model: Any = table.get("model")
    _check(isinstance(model, dict), "it has no model")
    _check_vocabulary(model.get("vocab"), first_tokens)
    try:
        library = LibraryTokenizer(
            _byte_pairs(model, first_tokens[0])
            if kind == "bpe"
            else _word_level(model, first_tokens[0])
        )
        normalizer = _normalizer(table.get("normalizer"))
        if normalizer is not None:
            library.normalizer = normalizer
        library.pre_tokenizer = _pre_tokenizer(table["pre_tokenizer"], kind)
    except ValueError:
        raise
    except BaseException as error:
        # The library raises bare exceptions, and its panics are not even those.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ValueError(f"the library can't build it: {error}") from None
        raise
    if kind == "bpe":
        decoder = table.get("decoder") or {"type": "ByteLevel"}
        _check(isinstance(decoder, dict) and decoder.get("type") == "ByteLevel", "its decoder")
        library.decoder = decoders.ByteLevel()
    return library


def _check(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def _check_vocabulary(vocab: Any, first_tokens: Sequence[str]) -> None:
    _check(isinstance(vocab, dict) and len(vocab) > 0, "its model has no vocabulary")
    seen = bytearray(len(vocab))
    for id in vocab.values():
        _check(type(id) is int and 0 <= id < len(seen) and not seen[id], "its ids are not 0 to V-1")
        seen[id] = 1
    for id, token in enumerate(first_tokens):
        _check(vocab.get(token) == id, f"token {id} is not {token}")


def _word_level(model: dict[str, Any], unknown: str) -> Any:
    from tokenizers import models

    _check(model.get("type") == "WordLevel", f"its model is {str(model.get('type'))[:40]!r}")
    _check(model.keys() <= WORD_LEVEL_KEYS, "its model has unknown settings")
    _check(model.get("unk_token") == unknown, f"its unk_token is not {unknown}")
    return models.WordLevel(vocab=model["vocab"], unk_token=unknown)


def _byte_pairs(model: dict[str, Any], unknown: str) -> Any:
    from tokenizers import models

    _check(model.get("type") == "BPE", f"its model is {str(model.get('type'))[:40]!r}")
    _check(model.keys() <= BPE_KEYS, "its model has unknown settings")
    for name in BPE_EMPTY:
        _check(not model.get(name), f"its model has {name}")
    _check(model.get("unk_token") in (None, unknown), f"its unk_token is not {unknown}")
    vocab, merges = model["vocab"], model.get("merges")
    _check(isinstance(merges, list) and len(merges) <= len(vocab), "its model has no merges")
    pairs = []
    for merge in merges or ():
        pair = merge.split(" ") if isinstance(merge, str) else merge
        _check(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, str) for p in pair),
            "its merges are not pairs of tokens",
        )
        _check({*pair, "".join(pair)} <= vocab.keys(), "a merge is not in the vocabulary")
        pairs.append(tuple(pair))
    options: dict[str, Any] = {name: bool(model.get(name)) for name in BPE_FLAGS}
    if model.get("unk_token"):
        options["unk_token"] = unknown
    return models.BPE(vocab=vocab, merges=pairs, **options)


def _normalizer(table: Any) -> Any:
    from tokenizers import Regex, normalizers

    if table is None:
        return None
    _check(isinstance(table, dict), "its normalizer")
    whole = table.get("type") == "Sequence"
    steps = table.get("normalizers") if whole else [table]
    _check(isinstance(steps, list) and len(steps) <= MAX_NORMALIZERS, "its normalizers")
    built = []
    for step in steps:
        if step == APOSTROPHE:
            built.append(normalizers.Replace(step["pattern"]["String"], step["content"]))
            continue
        if (characters := _filtered(step)) is not None:
            built.append(normalizers.Replace(Regex(characters), step["content"]))
            continue
        _check(isinstance(step, dict) and step.get("type") in NORMALIZERS, "its normalizers")
        options = {name: value for name, value in step.items() if name != "type"}
        _check(all(v is None or type(v) is bool for v in options.values()), "its normalizers")
        built.append(getattr(normalizers, step["type"])(**options))
    return normalizers.Sequence(built) if whole else built[0]


def _filtered(step: Any) -> str | None:
    """The pattern of a step that takes characters out of a text; None for any other step."""
    if not isinstance(step, dict) or step.keys() != {"type", "pattern", "content"}:
        return None
    pattern = step["pattern"]
    characters = pattern.get("Regex") if isinstance(pattern, dict) and len(pattern) == 1 else None
    known = isinstance(characters, str) and CHARACTER_CLASS.fullmatch(characters)
    return (
        characters if known and step["type"] == "Replace" and step["content"] in ("", " ") else None
    )


def _pre_tokenizer(table: dict[str, Any], kind: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    if kind == "whitespace":
        _check(table.keys() == {"type"}, "its pre_tokenizer")
        return pre_tokenizers.WhitespaceSplit()
    if kind == "bpe":
        options = {name: value for name, value in table.items() if name != "type"}
        known = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        _check(options.keys() <= known.keys(), "its pre_tokenizer")
        _check(all(type(value) is bool for value in options.values()), "its pre_tokenizer")
        return pre_tokenizers.ByteLevel(**known | options)
    behavior, invert = ("removed", True) if kind == "words" else ("isolated", False)
    wanted = {"type", "pattern", "behavior", "invert"}
    same = table.keys() == wanted and set(table["pattern"]) == {"Regex"}
    same = same and (table["behavior"], table["invert"]) == (behavior.capitalize(), invert)
    _check(same, "its pre_tokenizer")
    return pre_tokenizers.Split(Regex(table["pattern"]["Regex"]), behavior, invert=invert)
