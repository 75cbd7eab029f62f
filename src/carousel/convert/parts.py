"""Finding a language model's parts in a state dict, by shape and by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from carousel.cells import CELLS, weight_shapes
from carousel.convert.gate_order import PYTORCH, restack
from carousel.errors import ConvertError

Arrays = Mapping[str, np.ndarray]

RECURRENT = re.compile(
    r"(?:(.*)\.)?(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)_l(\d{1,4})(_reverse)?"
)
"""How PyTorch names the weights of its recurrent layers."""
CELL_OF_GATES = {len(gates): cell for cell, gates in PYTORCH.items()}
EMBEDDING = ("emb", "encoder", "wte", "lookup", "word_vectors")
DECODER = ("decoder", "out", "head", "linear", "fc", "softmax", "proj", "logits")
SHOWN = 6


class Recurrent(NamedTuple):
    """The recurrent layers of a state dict."""

    cell: str
    """rnn, gru or lstm."""
    layers: list[dict[str, np.ndarray]]
    """``weight_ih`` and so on of each layer, gates in our order."""
    biases: bool
    outer: np.ndarray | None
    """``[P, H]``, by which the last hidden state is projected where the LSTM has a proj_size."""
    used: frozenset[str]
    """The names of all these weights."""

    @property
    def input_size(self) -> int:
        """``E``: how wide the first layer's input is."""
        return int(self.layers[0]["weight_ih"].shape[1])

    @property
    def hidden_size(self) -> int:
        """``H``: how many units each layer has."""
        return int(self.layers[0]["weight_hh"].shape[1])

    @property
    def output_size(self) -> int:
        """``P`` or ``H``: how wide what comes out is."""
        return self.hidden_size if self.outer is None else len(self.outer)


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
    notes: tuple[str, ...]


def find_recurrent(weights: Arrays, named: str | None = None) -> Recurrent:
    """Find the one stack of ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM`` layers, or the one ``named``.

    Modules of a list (``rnns.0``, ``rnns.1``) are one stack.

    Raises:
        ConvertError: none or several, or one that Carousel's cells can't represent.
    """
    modules: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    used: dict[str, set[str]] = {}
    for name, weight in weights.items():
        match = RECURRENT.fullmatch(name)
        if match is None or (named and not _is_of(match[1] or "", named)):
            continue
        if match[4]:
            raise ConvertError(
                f"{match[1] or 'the recurrent module'} is bidirectional: it reads the words to be "
                f"predicted, so it is no next-word model"
            )
        module = match[1] or ""
        modules.setdefault(module, {}).setdefault(int(match[3]), {})[match[2]] = weight
        used.setdefault(module, set()).add(name)
    if not modules:
        what = f"recurrent layers named {named!r}" if named else "nn.RNN, nn.GRU or nn.LSTM"
        raise ConvertError(f"no {what} among the weights: {_some(weights)}")
    stack = [modules[module] for module in _in_order(list(modules))]
    layers: list[dict[str, np.ndarray]] = []
    for module in stack:
        if sorted(module) != list(range(len(module))):
            raise ConvertError(f"the recurrent layers are {_some(map(str, sorted(module)))}: a gap")
        layers += [module[number] for number in range(len(module))]
    cell, biases = _check_layers(layers)
    theirs, ours = PYTORCH[cell], CELLS[cell].stacked
    stacked = [
        {name: w if name == "weight_hr" else restack(w, theirs, ours) for name, w in layer.items()}
        for layer in layers
    ]
    outer = _fold_projections(stacked) if "weight_hr" in stacked[0] else None
    return Recurrent(cell, stacked, biases, outer, frozenset().union(*used.values()))


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

    ``tokens`` is the size of the vocabulary, which tells rows apart where names don't.

    Raises:
        ConvertError: a part that is not there, is there twice, or has other sizes, or weights that
            belong to no part.
    """
    rest = {name: weight for name, weight in weights.items() if name not in recurrent.used}
    notes: list[str] = []
    tables = {name: weight for name, weight in rest.items() if weight.ndim == 2}

    width = recurrent.input_size
    fits = {n: w for n, w in tables.items() if w.shape[1] == width}
    fits = {n: w for n, w in fits.items() if len(w) == tokens} or fits
    name = _named(tables, embedding, "--embedding") if embedding else None
    if name is None:
        same = [n for n in fits if all(np.array_equal(fits[n], w) for w in fits.values())]
        # Tied weights are saved under both names; either is right.
        name = min(same, key=_likeness(EMBEDDING)) if same else None
        name = name or _choose(fits, rest, EMBEDDING, "embedding", "--embedding", biased=False)
    if name is None:
        raise ConvertError(f"no embedding of width {width} among the weights: {_some(rest)}")
    table = rest[name]
    if table.shape[1] != width:
        raise ConvertError(
            f"{name} is {table.shape[1]} wide, but the first recurrent layer reads {width} values"
        )
    if len(table) != tokens:
        raise ConvertError(f"the vocabulary has {tokens} tokens, but {name} has {len(table)} rows")
    taken = {name}

    decoder_name = _named(tables, decoder, "--decoder") if decoder else None
    if decoder_name is None:
        fits = {n: w for n, w in tables.items() if n != name and len(w) == tokens}
        decoder_name = _choose(fits, rest, DECODER, "decoder", "--decoder", biased=True)
    tied = decoder_name is None or np.array_equal(rest[decoder_name], table)
    if decoder_name is None:
        notes.append(f"{name} is taken as the decoder's weight too (tied): no other has its rows")
    elif len(rest[decoder_name]) != tokens:
        rows = len(rest[decoder_name])
        raise ConvertError(
            f"the vocabulary has {tokens} tokens, but {decoder_name} has {rows} rows"
        )
    else:
        taken.add(decoder_name)
    read = int((table if tied else rest[decoder_name or name]).shape[1])

    bias_name = _decoder_bias(rest, decoder_name, tokens)
    if bias_name is None:
        notes.append("the decoder has no bias: zeros")
    else:
        taken.add(bias_name)

    middle = _projection(rest, taken, recurrent.output_size, read, projection)
    middle_bias = None
    if middle is not None:
        taken.add(middle)
        middle_bias = _bias_of(rest, middle)
        notes.append(f"{middle} is taken as a linear projection, with nothing before or after it")
        taken |= {middle_bias} if middle_bias else set()
    left = sorted(rest.keys() - taken)
    if left:
        raise ConvertError(
            f"there is more than embedding, recurrent layers and decoder: {_some(left)}; if the "
            f"model does not use it, take it out of the state dict"
        )
    return Ends(
        table,
        None if tied else rest[decoder_name or name],
        rest[bias_name] if bias_name else None,
        rest[middle] if middle else None,
        rest[middle_bias] if middle_bias else None,
        tuple(notes),
    )


def _check_layers(layers: list[dict[str, np.ndarray]]) -> tuple[str, bool]:
    """The cell's name and whether there are biases, after every shape has been checked."""
    first = layers[0]
    for name in ("weight_ih", "weight_hh"):
        if name not in first or first[name].ndim != 2 or 0 in first[name].shape:
            raise ConvertError(f"recurrent layer 0 lacks {name}, or it is no matrix")
    projected = "weight_hr" in first and first["weight_hr"].ndim == 2
    hidden = first["weight_hr" if projected else "weight_hh"].shape[1]
    rows = len(first["weight_ih"])
    cell = CELL_OF_GATES.get(rows // hidden if hidden and rows % hidden == 0 else 0)
    if cell is None or (projected and cell != "lstm"):
        raise ConvertError(
            f"recurrent layer 0 has {rows} rows for {hidden} units: not an RNN (1 each), GRU (3) "
            f"or LSTM (4)"
        )
    biases = "bias_ih" in first
    width = first["weight_ih"].shape[1]
    fed_back = len(first["weight_hr"]) if projected else hidden
    for number, layer in enumerate(layers):
        shapes = weight_shapes(CELLS[cell], width, hidden)
        shapes = {n: s for n, s in shapes.items() if biases or not n.startswith("bias")}
        if projected:
            shapes["weight_hh"] = (rows, fed_back)
            shapes["weight_hr"] = (fed_back, hidden)
        if layer.keys() != shapes.keys():
            odd = min(layer.keys() ^ shapes.keys())
            how = "lacks" if odd in shapes else "has, unlike the others,"
            raise ConvertError(f"recurrent layer {number} {how} {odd}")
        for name, shape in shapes.items():
            if layer[name].shape != shape:
                raise ConvertError(
                    f"recurrent layer {number}: {name} has shape {list(layer[name].shape)}, not "
                    f"{list(shape)} (Carousel's layers are all of one cell and size)"
                )
        width = fed_back
    return cell, biases


def _fold_projections(layers: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Take ``h' = P h`` (an LSTM's proj_size) into the weights that read it; the last ``P``.

    ``R (P h) = (R P) h``: what reads the projected state reads the whole one as well.
    """
    before: np.ndarray | None = None
    for layer in layers:
        outer = layer.pop("weight_hr").astype(np.float64)
        layer["weight_hh"] = (layer["weight_hh"] @ outer).astype(np.float32)
        if before is not None:
            layer["weight_ih"] = (layer["weight_ih"] @ before).astype(np.float32)
        before = outer
    assert before is not None  # there is a layer
    return before.astype(np.float32)


def _in_order(modules: list[str]) -> list[str]:
    """Modules that differ in one number that counts up, in its order.

    Raises:
        ConvertError: they are several, and no such list.
    """
    if len(modules) == 1:
        return modules
    for pattern in (r"(.*\.)?(\d{1,4})((?:\.\w+)*)", r"(.*?)(\d{1,4})()"):
        matches = [re.fullmatch(pattern, module) for module in modules]
        numbers = {int(m[2]): m[0] for m in matches if m}
        ends = {(m[1], m[3]) for m in matches if m}
        counted = sorted(numbers)
        if (
            all(matches)
            and len(ends) == 1
            and counted == list(range(counted[0], counted[0] + len(modules)))
        ):
            return [numbers[number] for number in counted]
    raise ConvertError(f"several recurrent modules ({_some(modules)}): name one with --rnn")


def _projection(
    rest: Arrays, taken: set[str], width: int, read: int, named: str | None
) -> str | None:
    """The projection's name; only where the sizes call for one, or where one is named."""
    tables = {n: w for n, w in rest.items() if w.ndim == 2 and n not in taken}
    fits = [n for n, w in tables.items() if w.shape == (read, width)]
    if named:
        name = _named(tables, named, "--projection")
        if name not in fits:
            raise ConvertError(
                f"{name} has shape {list(rest[name].shape)}, not [{read}, {width}] between the "
                f"recurrent layers and the decoder"
            )
        return name
    if width == read:
        return None
    if len(fits) != 1:
        raise ConvertError(
            f"the decoder reads {read} values, but {width} come out of the recurrent layers, and "
            + ("nothing projects them" if not fits else f"which of {_some(fits)}? --projection")
        )
    return fits[0]


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
        raise ConvertError(f"which is the {what}: {_some(names)}? Name it with {flag}")
    return names[0] if names else None


def _likeness(words: Iterable[str]) -> Callable[[str], bool]:
    """A key that puts names with one of the words in them first."""
    return lambda name: not any(word in name.lower() for word in words)


def _named(tables: Arrays, given: str, flag: str) -> str:
    matches = [name for name in tables if _is_of(name.removesuffix(".weight"), given)]
    matches = [name for name in tables if name == given] or matches
    if len(matches) != 1:
        which = (
            f"which of {_some(matches)}?" if matches else f"no such matrix among {_some(tables)}"
        )
        raise ConvertError(f"{flag} {given}: {which}")
    return matches[0]


def _is_of(module: str, named: str) -> bool:
    """Whether ``named`` stands in a module's dotted name."""
    return f".{named}." in f".{module}."


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
