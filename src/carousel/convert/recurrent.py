"""Finding the recurrent layers of a language model in a state dict, by shape and by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from carousel.cells import CELLS, weight_shapes
from carousel.convert.gate_order import PYTORCH, restack
from carousel.errors import ConvertError

Arrays = Mapping[str, np.ndarray]
Layer = dict[str, np.ndarray]

RECURRENT = re.compile(
    r"(?:(.*)\.)?(weight_ih|weight_hh|weight_hr|weight_ch|bias_ih|bias_hh)"
    r"(?:_l(\d{1,4})(_reverse)?)?(_raw)?"
)
"""How PyTorch names the weights of its recurrent layers; of its single cells, without a number; of
AWD-LSTM's weight drop, where ``_raw`` is what was learned, and a copy without it was dropped; and
``weight_ch``, the peepholes of state dicts that Carousel wrote."""
CELL_GATES = {cell: len(gates) for cell, gates in PYTORCH.items()}
CELL_OF_GATES = {len(gates): cell for cell, gates in PYTORCH.items()}
MAX_LISTED = 6


class Recurrent(NamedTuple):
    """The recurrent layers of a state dict."""

    cell: str
    """A name in ``CELLS``."""
    layers: list[dict[str, np.ndarray]]
    """``weight_ih`` and so on of each layer, gates in our order."""
    biases: bool
    outer: np.ndarray | None
    """``[P, H]``, by which the last hidden state is projected where the LSTM has a proj_size."""
    used: frozenset[str]
    """The names of all these weights."""
    notes: tuple[str, ...] = ()
    """What was decided, one line each."""

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


def find_recurrent(weights: Arrays, named: str | None = None, cell: str | None = None) -> Recurrent:
    """Find the one stack of recurrent layers: ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``, or their cells.

    Modules of a list (``rnns.0``, ``rnns.1``) are one stack. Layers of different sizes are filled
    up with units that are always zero: the model stays the same to the last bit.

    Args:
        weights: a state dict's arrays by name.
        named: the module's name, where there are several.
        cell: the cell, where weights don't show it: ``gru-reset-before`` for a GRU.

    Raises:
        ConvertError: none or several, or one that Carousel's cells can't represent.
    """
    modules, used = _modules(weights, named)
    if not modules:
        wanted = f"recurrent layers named {named!r}" if named else "nn.RNN, nn.GRU or nn.LSTM"
        raise ConvertError(f"no {wanted} among the weights: {list_names(weights)}")
    layers: list[Layer] = []
    for module in (modules[name] for name in _in_order(list(modules))):
        if sorted(module) != list(range(len(module))):
            numbers = list_names(map(str, sorted(module)))
            raise ConvertError(f"the recurrent layers are {numbers}: a gap")
        layers += [module[number] for number in range(len(module))]
    shown, biases = _check_layers(layers)
    if cell is not None and cell.removesuffix("-reset-before") != shown:
        raise ConvertError(f"the weights are those of {shown}, not of {cell}")
    cell = cell or shown
    theirs, ours = PYTORCH[cell.split("-")[0]], CELLS[cell].stacked
    stacked = [
        {name: restack(w, theirs, ours) if _has_gates(name) else w for name, w in layer.items()}
        for layer in layers
    ]
    outer = _fold_projections(stacked) if "weight_hr" in stacked[0] else None
    return make_recurrent(cell, stacked, biases=biases, outer=outer, used=used)


def make_recurrent(
    cell: str,
    layers: Sequence[Layer],
    *,
    biases: bool,
    outer: np.ndarray | None = None,
    used: frozenset[str] = frozenset(),
) -> Recurrent:
    """A stack of layers, filled up to one size with units that are always zero.

    Args:
        cell: a name in ``CELLS``.
        layers: the weights of each layer by name, gates in our order.
        biases: whether there are biases.
        outer: ``[P, H]``, what projects the last hidden state.
        used: the names that the weights had.

    Raises:
        ConvertError: layers that are not of this cell, or do not follow each other.
    """
    _check_widths(cell, layers, biases=biases)
    sizes = [layer["weight_hh"].shape[1] for layer in layers]
    notes = []
    stacked = list(layers)
    if len(set(sizes)) > 1:
        notes.append(
            f"the layers have {list_names(map(str, sizes))} units: filled up to {max(sizes)} each "
            f"with units that are always zero"
        )
        stacked = [
            _widen(layer, max(sizes), first=number == 0) for number, layer in enumerate(stacked)
        ]
        if outer is not None:
            outer = _pad(outer, 1, max(sizes))
        elif sizes[-1] < max(sizes):
            # What reads the layers gets the last one's own units.
            outer = np.eye(sizes[-1], max(sizes), dtype=np.float32)
    return Recurrent(cell, stacked, biases, outer, used, tuple(notes))


def _check_widths(cell: str, layers: Sequence[Layer], *, biases: bool) -> None:
    width = layers[0]["weight_ih"].shape[1]
    for number, layer in enumerate(layers):
        hidden = layer["weight_hh"].shape[1]
        shapes = weight_shapes(CELLS[cell], width, hidden)
        for name, shape in shapes.items():
            if (biases or not name.startswith("bias")) and layer[name].shape != shape:
                raise ConvertError(
                    f"recurrent layer {number}: {name} has shape {list(layer[name].shape)}, not "
                    f"{list(shape)}"
                )
        width = hidden


def _modules(
    weights: Arrays, named: str | None
) -> tuple[dict[str, dict[int, Layer]], frozenset[str]]:
    """The layers of each recurrent module by number, and the names of all their weights."""
    modules: dict[str, dict[int, Layer]] = {}
    used: set[str] = set()
    # What weight drop learned comes last, and so stands in the place of what it dropped.
    for name in sorted(weights, key=lambda name: name.endswith("_raw")):
        match = RECURRENT.fullmatch(name)
        if match is None or (named and not is_part(match[1] or "", named)):
            continue
        module, kind, number, reverse, _ = match.groups()
        if reverse:
            raise ConvertError(
                f"{module or 'the recurrent module'} is bidirectional: it reads the words to be "
                f"predicted, so it is no next-word model"
            )
        modules.setdefault(module or "", {}).setdefault(int(number or 0), {})[kind] = weights[name]
        used.add(name)
    return modules, frozenset(used)


def _has_gates(name: str) -> bool:
    return name not in ("weight_hr", "weight_ch")


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
    if "weight_ch" in first and cell == "lstm":
        cell = "lstm-peephole"
    biases = "bias_ih" in first
    width = first["weight_ih"].shape[1]
    fed_back = len(first["weight_hr"]) if projected else hidden
    for number, layer in enumerate(layers):
        if not projected and (table := layer.get("weight_hh")) is not None and table.ndim == 2:
            hidden = fed_back = table.shape[1]
            rows = CELL_GATES[cell.split("-")[0]] * hidden
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
                    f"{list(shape)} (Carousel's layers are all of one cell)"
                )
        width = fed_back
    return cell, biases


def _widen(layer: Layer, size: int, *, first: bool) -> Layer:
    """A layer with units added that are always zero: all that they read and are read by is 0."""
    hidden = layer["weight_hh"].shape[1]
    wide = {}
    for name, weight in layer.items():
        gates = len(weight) // hidden
        blocks = weight.reshape(gates, -1, *weight.shape[1:])
        padded = _pad(blocks, 1, size).reshape(gates * size, *weight.shape[1:])
        if name == "weight_hh" or (name == "weight_ih" and not first):
            padded = _pad(padded, 1, size)
        wide[name] = padded
    return wide


def _pad(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """An array with zeros at the end of an axis."""
    widths = [
        (0, size - length if number == axis else 0) for number, length in enumerate(array.shape)
    ]
    return np.pad(array, widths)


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
    raise ConvertError(f"several recurrent modules ({list_names(modules)}): name one with --rnn")


def is_part(module: str, named: str) -> bool:
    """Whether ``named`` stands in a module's dotted name."""
    return f".{named}." in f".{module}."


def list_names(names: Iterable[str]) -> str:
    """Some of the names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return ", ".join(listed[:MAX_LISTED]) + more
