"""Finding a language model's embedding, projection and decoder in a state dict."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from carousel.convert.recurrent import Arrays, Recurrent, is_part, list_names
from carousel.errors import ConvertError

EMBEDDING = ("emb", "encoder", "wte", "lookup", "word_vectors")
DECODER = ("decoder", "out", "head", "linear", "fc", "softmax", "proj", "logits")
NOT_IN_MODEL = frozenset(
    {"criterion", "loss", "loss_fn", "loss_fct", "metric", "metrics", "optimizer", "ema"}
)
"""Parts of names that say that a weight belongs to the training, not to the model."""
TAIL = re.compile(r"((?:.*\.)?)tail\.(\d{1,3})\.[01]\.weight")
"""How ``nn.AdaptiveLogSoftmaxWithLoss`` names the matrices of its clusters."""


class Adaptive(NamedTuple):
    """An adaptive softmax; see ``adaptive_softmax``."""

    head: np.ndarray
    """``[W + N, D]``: the rows of the head's words and of the ``N`` clusters."""
    bias: np.ndarray | None
    """``[W + N]``"""
    tails: tuple[tuple[np.ndarray, np.ndarray], ...]
    """The two matrices of each cluster, ``[S, D]`` and ``[words, S]``."""

    @property
    def head_words(self) -> int:
        """``W``: how many words are in the head."""
        return len(self.head) - len(self.tails)

    @property
    def tokens(self) -> int:
        """``V``: how many words there are."""
        return self.head_words + sum(len(outer) for _, outer in self.tails)


class Ends(NamedTuple):
    """What stands before and after the recurrent layers."""

    embedding: np.ndarray
    """``[V, E]``"""
    decoder: np.ndarray | None
    """``[V, D]``; None where it is tied to the embedding."""
    bias: np.ndarray | None
    """``[V]``, of the decoder."""
    projection: np.ndarray | None
    """``[D, P or H]``"""
    projection_bias: np.ndarray | None
    """``[D]``"""
    notes: tuple[str, ...] = ()
    adaptive: Adaptive | None = None
    """What takes the place of decoder and bias, where there is one."""


def find_ends(
    weights: Arrays,
    recurrent: Recurrent,
    tokens: int,
    *,
    embedding: str | None = None,
    decoder: str | None = None,
    projection: str | None = None,
) -> Ends:
    """Find embedding, decoder and the projection between, or take those that are named.

    Args:
        weights: a state dict's arrays by name.
        recurrent: its recurrent layers.
        tokens: the size of the vocabulary, which tells rows apart where names don't.
        embedding: the embedding's name, where it can't be told.
        decoder: the last linear layer's.
        projection: that of a linear layer before it.

    Raises:
        ConvertError: a part that is not there, is there twice, or has other sizes, or weights that
            belong to no part.
    """
    rest: Arrays = {name: w for name, w in weights.items() if name not in recurrent.used}
    training = {name for name in rest if NOT_IN_MODEL & set(name.split("."))}
    rest = {name: weight for name, weight in rest.items() if name not in training}
    notes = [f"left out, as it belongs to the training: {name}" for name in sorted(training)]
    adaptive, rest = _take_adaptive(rest, tokens)
    tables = {name: weight for name, weight in rest.items() if weight.ndim == 2}
    if adaptive is not None:
        return _around(adaptive, rest, tables, recurrent, tokens, embedding, projection, notes)

    table_name = _embedding(rest, tables, recurrent.input_size, tokens, embedding)
    if table_name is None:
        table = np.eye(tokens, dtype=np.float32)
        notes.append("there is no embedding: tokens are read as one-hot vectors")
    else:
        table = rest[table_name]
    decoder_name = _decoder(rest, tables, table_name, tokens, decoder)
    if decoder_name is not None and len(table) == tokens + 1:
        table = table[:tokens]
        notes.append(f"the last row of {table_name} is left out: no token of the vocabulary has it")
    check_rows(table, table_name, tokens)
    tied = decoder_name is None or np.array_equal(rest[decoder_name], table)
    if decoder_name is None:
        notes.append(
            f"{table_name} is taken as the decoder's weight too (tied): no other has its rows"
        )
    reader = table if tied or decoder_name is None else rest[decoder_name]
    taken = {name for name in (table_name, decoder_name) if name is not None}

    bias_name = _decoder_bias(rest, decoder_name, tokens)
    if bias_name is None:
        notes.append("the decoder has no bias: zeros")
    else:
        taken.add(bias_name)
    middle, middle_bias = _projection(
        rest, taken, recurrent.output_size, int(reader.shape[1]), projection
    )
    if middle is not None:
        notes.append(f"{middle} is taken as a linear projection, with nothing before or after it")
    _check_none_left(rest.keys() - taken - {middle, middle_bias})
    return Ends(
        table,
        None if tied else reader,
        rest[bias_name] if bias_name else None,
        rest[middle] if middle else None,
        rest[middle_bias] if middle_bias else None,
        tuple(notes),
    )


def _take_adaptive(rest: Arrays, tokens: int) -> tuple[Adaptive | None, Arrays]:
    """The weights of ``nn.AdaptiveLogSoftmaxWithLoss``, where there is one, and all others."""
    tails = [match for name in rest if (match := TAIL.fullmatch(name))]
    if not tails:
        return None, rest
    prefix = tails[0][1] or ""
    count = max(int(match[2]) for match in tails) + 1
    head, bias = f"{prefix}head.weight", f"{prefix}head.bias"
    names = [f"{prefix}tail.{n}.{half}.weight" for n in range(min(count, 64)) for half in (0, 1)]
    if {match[0] for match in tails} != set(names) or head not in rest:
        raise ConvertError(f"the adaptive softmax lacks a part of {prefix}head and {prefix}tail")
    matrices = [rest[name] for name in (head, *names)]
    inner, outer = matrices[1::2], matrices[2::2]
    width = matrices[0].shape[-1]
    if any(matrix.ndim != 2 for matrix in matrices) or any(
        a.shape[1] != width or len(a) != b.shape[1] for a, b in zip(inner, outer, strict=True)
    ):
        raise ConvertError(f"the parts of the adaptive softmax {prefix}head do not fit each other")
    adaptive = Adaptive(matrices[0], rest.get(bias), tuple(zip(inner, outer, strict=True)))
    if (
        adaptive.head_words < 1
        or adaptive.tokens != tokens
        or (adaptive.bias is not None and adaptive.bias.shape != (len(adaptive.head),))
    ):
        raise ConvertError(
            f"the vocabulary has {tokens} tokens, but the adaptive softmax {adaptive.tokens}"
        )
    used = {head, bias, *names}
    return adaptive, {name: weight for name, weight in rest.items() if name not in used}


def _around(
    adaptive: Adaptive,
    rest: Arrays,
    tables: Arrays,
    recurrent: Recurrent,
    tokens: int,
    embedding: str | None,
    projection: str | None,
    notes: list[str],
) -> Ends:
    """Embedding and projection of a model with an adaptive softmax."""
    table_name = _embedding(rest, tables, recurrent.input_size, tokens, embedding)
    if table_name is None:
        raise ConvertError("an adaptive softmax over one-hot vectors can't be taken over")
    check_rows(rest[table_name], table_name, tokens)
    width = int(adaptive.head.shape[1])
    middle, bias = _projection(rest, {table_name}, recurrent.output_size, width, projection)
    _check_none_left(rest.keys() - {table_name, middle, bias})
    return Ends(
        rest[table_name],
        None,
        None,
        rest[middle] if middle else None,
        rest[bias] if bias else None,
        tuple(notes),
        adaptive,
    )


def _embedding(
    rest: Arrays, tables: Arrays, width: int, tokens: int, named: str | None
) -> str | None:
    """The embedding's name; None where the recurrent layers read one-hot vectors."""
    if named:
        name = _named(tables, named, "--embedding")
        if tables[name].shape[1] != width:
            raise ConvertError(
                f"{name} is {tables[name].shape[1]} wide, but the first recurrent layer reads "
                f"{width} values"
            )
        return name
    fits = {name: table for name, table in tables.items() if table.shape[1] == width}
    for rows in (tokens, tokens + 1):
        exact = {name: table for name, table in fits.items() if len(table) == rows}
        if exact:
            fits = exact
            break
    one_hot = width == tokens and not any(_likeness(EMBEDDING)(name) is False for name in fits)
    if one_hot:
        return None
    same = [name for name in fits if all(np.array_equal(fits[name], w) for w in fits.values())]
    if same:
        # Tied weights are saved under both names; either is right.
        return min(same, key=_likeness(EMBEDDING))
    chosen = _choose(fits, rest, EMBEDDING, "embedding", "--embedding", biased=False)
    if chosen is None:
        raise ConvertError(f"no embedding of width {width} among the weights: {list_names(rest)}")
    return chosen


def _decoder(
    rest: Arrays, tables: Arrays, embedding: str | None, tokens: int, named: str | None
) -> str | None:
    """The decoder's name; None where it is tied to the embedding and saved once."""
    if named:
        name = _named(tables, named, "--decoder")
        if len(tables[name]) != tokens:
            raise ConvertError(
                f"the vocabulary has {tokens} tokens, but {name} has {len(tables[name])} rows"
            )
        return name
    fits = {n: w for n, w in tables.items() if n != embedding and len(w) == tokens}
    chosen = _choose(fits, rest, DECODER, "decoder", "--decoder", biased=True)
    if chosen is None and embedding is None:
        raise ConvertError(f"no decoder of {tokens} rows among the weights: {list_names(rest)}")
    return chosen


def _check_none_left(names: set[str]) -> None:
    if names:
        raise ConvertError(
            f"there is more than embedding, recurrent layers and decoder: "
            f"{list_names(sorted(names))}; if the model does not use it, take it out of the state "
            f"dict"
        )


def check_rows(table: np.ndarray, name: str | None, tokens: int) -> None:
    """Check that an embedding or decoder has a row for each token.

    Raises:
        ConvertError: it has more or fewer.
    """
    if len(table) != tokens:
        raise ConvertError(f"the vocabulary has {tokens} tokens, but {name} has {len(table)} rows")


def _projection(
    rest: Arrays, taken: set[str], width: int, decoder_width: int, named: str | None
) -> tuple[str | None, str | None]:
    """The names of the projection and its bias: where the sizes call for one, or one is named."""
    tables = {name: w for name, w in rest.items() if w.ndim == 2 and name not in taken}
    fits = [name for name, table in tables.items() if table.shape == (decoder_width, width)]
    if named:
        name = _named(tables, named, "--projection")
        if name not in fits:
            raise ConvertError(
                f"{name} has shape {list(rest[name].shape)}, not [{decoder_width}, {width}] "
                f"between the recurrent layers and the decoder"
            )
        return name, _bias_of(rest, name)
    if width == decoder_width:
        return None, None
    if len(fits) != 1:
        raise ConvertError(
            f"the decoder reads {decoder_width} values, but {width} come out of the recurrent "
            f"layers, and "
            + (
                "nothing projects them"
                if not fits
                else f"which of {list_names(fits)}? --projection"
            )
        )
    return fits[0], _bias_of(rest, fits[0])


def _decoder_bias(rest: Arrays, decoder: str | None, tokens: int) -> str | None:
    if decoder is not None and (own := _bias_of(rest, decoder)):
        return own
    # Files that keep shared weights once may hold the bias of a decoder without its weight.
    loose = [n for n, w in rest.items() if w.shape == (tokens,) and n.endswith("bias")]
    owners = [n.removesuffix("bias") + "weight" for n in loose]
    free = [n for n, owner in zip(loose, owners, strict=True) if owner not in rest]
    return free[0] if len(free) == 1 else None


def _bias_of(rest: Arrays, weight: str) -> str | None:
    name = weight.removesuffix("weight") + "bias"
    if not weight.endswith("weight") or name not in rest:
        return None
    return name if rest[name].shape == rest[weight].shape[:1] else None


def _choose(
    fits: Arrays, rest: Arrays, words: Iterable[str], what: str, flag: str, *, biased: bool
) -> str | None:
    """The one that fits; of several, by whether it has a bias, then by its name."""
    names = list(fits)
    narrowings: tuple[Callable[[str], bool], ...] = (
        lambda name: (_bias_of(rest, name) is not None) == biased,
        lambda name: any(word in name.lower() for word in words),
    )
    for narrow in narrowings:
        if len(names) > 1:
            names = [name for name in names if narrow(name)] or names
    if len(names) > 1:
        raise ConvertError(f"which is the {what}: {list_names(names)}? Name it with {flag}")
    return names[0] if names else None


def _likeness(words: Iterable[str]) -> Callable[[str], bool]:
    """A key that puts names with one of the words in them first."""
    return lambda name: not any(word in name.lower() for word in words)


def _named(tables: Arrays, given: str, flag: str) -> str:
    matches = [name for name in tables if is_part(name.removesuffix(".weight"), given)]
    matches = [name for name in tables if name == given] or matches
    if len(matches) != 1:
        which = (
            f"which of {list_names(matches)}?"
            if matches
            else f"no such matrix among {list_names(tables)}"
        )
        raise ConvertError(f"{flag} {given}: {which}")
    return matches[0]
