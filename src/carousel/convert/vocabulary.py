"""A foreign vocabulary as a Carousel tokenizer, and which of its rows goes where."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from carousel.convert.foreign_file import read_text
from carousel.errors import ConvertError, FolderError
from carousel.storage.model_folder import MAX_JSON_BYTES
from carousel.storage.strict_json import parse_json
from carousel.text.tokenizer import (
    END_OF_LINE,
    KINDS,
    UNKNOWN,
    Tokenizer,
    kind_of,
    make_tokenizer,
)

ABSENT = -1
ENDS = ("<eos>", "<EOS>", "</s>", "[EOS]", "<eol>", "<EOL>", "<nl>", "<|endoftext|>", "\n")
COUNTED = re.compile(r"(\S+)[ \t]+\d+")
"""A token and its count."""
UNKNOWNS = ("<unk>", "<UNK>", "[UNK]", "UNK", "<unknown>", "<oov>", "<OOV>")
TABLE_KEYS = ("word2idx", "stoi", "token_to_id", "itos", "idx2word", "id_to_token", "vocab")
"""Under such keys libraries keep the tokens; where there are several, the first is taken."""
BPE_LINE_BREAK = "Ċ"
r"""How byte-level BPE spells "\n"."""


class Vocabulary(NamedTuple):
    """The tokenizer, and for each of its ids the row that the token had, or ``ABSENT``."""

    tokenizer: Tokenizer
    rows: tuple[int, ...]
    notes: tuple[str, ...]
    """What was decided, one line each."""

    @property
    def size(self) -> int:
        """How many tokens the file holds."""
        return sum(row != ABSENT for row in self.rows)


def read_vocabulary(
    path: Path,
    stored: Any = None,
    *,
    tokens: str | None = None,
    lowercase: bool = False,
    eol: str | None = None,
    unk: str | None = None,
    add_eol: bool = False,
) -> Vocabulary:
    """Read a vocabulary in any of its usual forms.

    These are one token a line, with its count or without; in a ``.json`` a list, ``{token: id}``,
    ``{id: token}``, one of these under a key such as ``word2idx`` or ``itos``, or Hugging Face's
    ``tokenizer.json``.

    A Carousel tokenizer has the unknown word first and the end of a line second: these two are
    found by their usual spellings, or named by ``unk`` and ``eol``, and moved there.

    Args:
        path: the file.
        stored: what a checkpoint at ``path`` holds as its vocabulary, instead of a file.
        tokens: how text is cut: ``words``, ``whitespace`` or ``chars``; None to take it from a
            ``tokenizer.json``, else ``chars`` where all tokens are single characters with the
            space among them, else ``whitespace``.
        lowercase: lower upper case on the way in.
        eol: the token that ends a line.
        unk: the token of unknown words; where there is none, one is added.
        add_eol: add an end of line to a vocabulary that has none.

    Raises:
        ConvertError, FolderError: what in the file can't be a vocabulary, in one line.
    """
    if tokens == "bpe":
        raise ConvertError("byte pairs need their merges: give a tokenizer.json, without --tokens")
    if tokens is not None and tokens not in KINDS:
        raise ConvertError(f"tokens must be one of {', '.join(KINDS[:3])}, not {tokens!r}")
    table, counted = (stored, False) if stored is not None else _read(path)
    table = _unwrap(table)
    listed = _tokens(table, path)
    foreign = table if _is_hugging_face(table) and tokens is None else None
    if foreign is not None and lowercase:
        raise ConvertError(f"{path} says itself what is lowered: leave --lowercase out")
    if foreign is not None and unk is None and foreign["model"].get("unk_token") in listed:
        unk = foreign["model"]["unk_token"]
    unknown = _special(listed, unk, UNKNOWNS, "unknown word", "--unk")
    end = None if add_eol else _special(listed, eol, ENDS, "end of a line", "--eol")
    if end is None and foreign is not None and not add_eol and BPE_LINE_BREAK in listed:
        end = listed.index(BPE_LINE_BREAK)
    if end is None and not add_eol:
        raise ConvertError(
            f"{path} has no token for the end of a line, such as {END_OF_LINE}: name it with "
            f"--eol, or add one with --add-eol"
        )
    if end == unknown and end is not None:
        raise ConvertError(f"{listed[end]!r} can't be both the unknown word and the end of a line")
    first = [ABSENT if row is None else row for row in (unknown, end)]
    rows = [*first, *(row for row in range(len(listed)) if row not in first)]
    names = [UNKNOWN, END_OF_LINE, *(listed[row] for row in rows[2:])]
    for special in (UNKNOWN, END_OF_LINE):
        if names.count(special) > 1:
            raise ConvertError(
                f"{path}: {special} is there, but is not the token that was chosen for it: "
                f"rename it in the file"
            )
    notes = [_note(listed, unknown, "the unknown word"), _note(listed, end, "the end of a line")]
    if counted:
        notes.append("the number after each token is taken as its count, and left out")
    if foreign is not None:
        tokenizer = _from_hugging_face(foreign, listed, names, path)
    else:
        kind = tokens or _guess_kind(names)
        tokenizer = make_tokenizer(kind, names, lowercase=lowercase)
        notes += [f"text is cut into {kind}", *_unreachable(tokenizer)]
    return Vocabulary(tokenizer, tuple(rows), tuple(notes))


def read_table(path: Path) -> Any:
    """What a vocabulary's file holds: parsed JSON, or a list of its lines, empty ones too.

    Raises:
        ConvertError, FolderError: the file can't be read.
    """
    text = read_text(path, MAX_JSON_BYTES)
    if path.suffix.lower() == ".json":
        return parse_json(text, str(path))
    return _lines(text)


def _read(path: Path) -> tuple[Any, bool]:
    """The parsed JSON, or the list of lines, and whether each line had a count after its token."""
    lines = read_table(path)
    if path.suffix.lower() == ".json":
        return lines, False
    if "" in lines:
        raise ConvertError(
            f"{path}: line {lines.index('') + 1} is empty (a token that is a line break needs "
            f"a JSON file)"
        )
    counted = [COUNTED.fullmatch(line) for line in lines]
    if all(counted):
        return [match[1] for match in counted if match], True
    return lines, False


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _unwrap(table: Any) -> Any:
    """The list of tokens or the table of ids, out of what libraries put around it."""
    if isinstance(table, Mapping) and not _is_hugging_face(table):
        # A vocabulary of words may hold the word "vocab" itself.
        inner = [table[key] for key in TABLE_KEYS if isinstance(table.get(key), Mapping | list)]
        if inner:
            return _unwrap(inner[0])
        if table and all(_is_id(id) and type(token) is str for id, token in table.items()):
            return {token: int(id) for id, token in table.items()}
        return dict(table)
    return list(table) if isinstance(table, tuple) else table


def _is_id(key: Any) -> bool:
    return type(key) is int or (type(key) is str and key.isascii() and key.isdecimal())


def _is_hugging_face(table: Any) -> bool:
    return isinstance(table, dict) and isinstance(table.get("model"), dict)


def _tokens(table: Any, path: Path) -> list[str]:
    """All tokens by id."""
    ids: list[tuple[Any, Any]]
    if _is_hugging_face(table):
        vocab = table["model"].get("vocab")
        try:
            # Unigram models list pairs of token and score.
            if isinstance(vocab, list):
                vocab = {pair[0]: id for id, pair in enumerate(vocab)}
            added = table.get("added_tokens") or []
            ids = list((dict(vocab) | {entry["content"]: entry["id"] for entry in added}).items())
        except (TypeError, KeyError, ValueError, IndexError):
            raise ConvertError(f"{path} is not a tokenizer.json that can be read") from None
    elif isinstance(table, list):
        ids = [(token, id) for id, token in enumerate(table)]
    elif isinstance(table, dict):
        ids = list(table.items())
    else:
        ids = []
    if not ids or not all(type(token) is str and type(id) is int for token, id in ids):
        raise ConvertError(f"{path} must be a list of tokens, or a table of tokens and their ids")
    ids.sort(key=lambda pair: pair[1])
    for expected, (token, id) in enumerate(ids):
        if id != expected:
            raise ConvertError(
                f"{path}: ids must run from 0 without gaps, but {token!r} has {id} where "
                f"{expected} is due"
            )
        if not token:
            raise ConvertError(f"{path}: token {id} is empty")
    listed = [token for token, _ in ids]
    try:
        "".join(listed).encode()
    except UnicodeEncodeError:
        raise ConvertError(f"{path} holds half a character, which no text can") from None
    seen: dict[str, int] = {}
    for id, token in enumerate(listed):
        if token in seen:
            raise ConvertError(f"{path}: {token!r} is there twice, as {seen[token]} and {id}")
        seen[token] = id
    return listed


def _special(
    listed: Sequence[str], given: str | None, usual: Sequence[str], what: str, flag: str
) -> int | None:
    """The id of a special token: the given one, or the one of the usual spellings that is there."""
    if given is not None:
        for token in (given, given.replace("\\n", "\n")):
            if token in listed:
                return listed.index(token)
        raise ConvertError(f"{flag}: {given!r} is not in the vocabulary")
    spellings = [token for token in usual if token in listed]
    if len(spellings) > 1:
        names = " and ".join(map(repr, spellings))
        raise ConvertError(f"{names} could both be the {what}: choose with {flag}")
    return listed.index(spellings[0]) if spellings else None


def _note(listed: Sequence[str], row: int | None, what: str) -> str:
    if row is None:
        return f"{what} is added: it reads as nothing and is never predicted"
    return f"{what} is {listed[row]!r}"


def _guess_kind(names: Sequence[str]) -> str:
    """Only a vocabulary of characters has the space in it."""
    marks = [name for name in names[2:] if not (name[0] in "<[" and name[-1] in ">]")]
    single = all(len(name) == 1 for name in marks)
    return "chars" if single and " " in marks else "whitespace"


def _unreachable(tokenizer: Tokenizer) -> list[str]:
    """A note on tokens that no text can lead to, when it is cut so."""
    names = tokenizer.tokens()[2:]
    lost = [
        name
        for id, name in enumerate(names, start=2)
        if "\n" in name or tokenizer.encode(name) != [id]
    ]
    if not lost:
        return []
    return [f"tokens that no text cut so can lead to: {len(lost)}, such as {lost[0]!r}"]


def _from_hugging_face(
    table: dict[str, Any], listed: Sequence[str], names: Sequence[str], path: Path
) -> Tokenizer:
    """The same tokenizer with our order and names of the special tokens."""
    kind = kind_of(table)
    model = dict(table["model"])
    pre: Any = table.get("pre_tokenizer")
    wanted = "BPE" if kind == "bpe" else "WordLevel"
    if kind is None or model.get("type") != wanted or pre.get("add_prefix_space"):
        cut = pre.get("type") if isinstance(pre, dict) else None
        raise ConvertError(
            f"{path} cuts text as Carousel does not ({model.get('type')} after {cut}): cut texts "
            f"beforehand, tokens between spaces, and say --tokens whitespace"
        )
    model["vocab"] = {name: id for id, name in enumerate(names)}
    if kind == "bpe":
        # A line break never reaches the merges, so those that use a renamed token are idle.
        gone = set(listed) - set(names)
        merges = model.get("merges")
        pairs = [m.split(" ") if type(m) is str else m for m in merges] if merges else []
        if not all(type(pair) is list and all(type(m) is str for m in pair) for pair in pairs):
            raise ConvertError(f"{path}: its merges are not pairs of tokens")
        model["merges"] = [pair for pair in pairs if not gone & {*pair, "".join(pair)}]
        if model.get("unk_token") is not None:
            model["unk_token"] = UNKNOWN
    else:
        model["unk_token"] = UNKNOWN
    # Without added tokens (they would be matched inside a user's text), and nothing around or cut.
    bare: dict[str, Any] = {
        "added_tokens": [],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    try:
        return Tokenizer.from_json(json.dumps({**table, **bare, "model": model}), str(path))
    except FolderError as error:
        raise ConvertError(str(error)) from None
