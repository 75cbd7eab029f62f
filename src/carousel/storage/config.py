"""The configuration of a model: which cell, and how wide everything is (``config.json``)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Self

from carousel.adaptive_softmax import decoder_shapes
from carousel.cells import CELLS, weight_shapes
from carousel.errors import FolderError
from carousel.storage.number_formats import DTYPES
from carousel.storage.strict_json import parse_json

FORMAT_VERSION = 1
MAX_SIZE = 2**24
MAX_LAYERS = 64
LINE_END_ID = 1
"""The id of the end of a line, in every vocabulary."""
HASHES = "sha256"
"""The key of ``config.json`` under which the hashes of the other files are (``model_folder``)."""
OPTIONAL_FIELDS = ("dtype", "cutoffs", "tail_sizes", "carry_state")
"""Fields that older files do not have. They are left out where they have their default."""


@dataclass(frozen=True)
class Config:
    """The shape of a model: which cell, and how wide everything is.

    Raises:
        FolderError: a field of the wrong type or out of its range.

    >>> config = Config("lstm", 10, embedding_size=3, hidden_size=4, layers=1, tied=False)
    >>> config.weight_shapes()["layers.0.weight_ih"]
    (16, 3)
    """

    cell: str
    """A name in ``cells.CELLS``."""
    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    tied: bool
    """The decoder uses ``embedding.weight``."""
    projection_size: int = 0
    """Width of the projection before the decoder; 0 for none."""
    biases: bool = True
    """Whether the recurrent layers have biases."""
    dtype: str = "float32"
    """The format that matrices are stored in: one of ``number_formats.DTYPES``."""
    cutoffs: tuple[int, ...] = ()
    """The first id of each cluster (see ``adaptive_softmax``); empty for a plain softmax."""
    tail_sizes: tuple[int, ...] = ()
    """The width of each cluster."""
    carry_state: bool = True
    """Whether the state is carried over the end of a line. If not, it is set to zero before each
    end of a line (id 1) is read, so that each line is a text of its own."""

    def __post_init__(self) -> None:
        types = {"str": str, "int": int, "bool": bool, "tuple[int, ...]": tuple}
        for field in fields(self):
            value: object = getattr(self, field.name)
            if type(value) is not types[str(field.type)]:
                raise FolderError(f"{field.name} must be {field.type}, not {value!r}")
            if isinstance(value, tuple) and any(type(entry) is not int for entry in value):
                raise FolderError(f"{field.name} must be whole numbers, not {list(value)!r}")
        if self.cell not in CELLS:
            raise FolderError(f"cell must be one of {', '.join(CELLS)}, not {self.cell!r}")
        for name in ("vocab_size", "embedding_size", "hidden_size", "layers"):
            limit = MAX_LAYERS if name == "layers" else MAX_SIZE
            if not 1 <= getattr(self, name) <= limit:
                raise FolderError(f"{name} must be 1 to {limit}, not {getattr(self, name)}")
        if not 0 <= self.projection_size <= MAX_SIZE:
            raise FolderError(f"projection_size can't be {self.projection_size}")
        if self.tied and self.decoder_input_size != self.embedding_size:
            raise FolderError(
                f"a tied decoder reads embedding_size {self.embedding_size} values, "
                f"but {self.decoder_input_size} come in"
            )
        if self.dtype not in DTYPES:
            raise FolderError(f"dtype must be one of {', '.join(DTYPES)}, not {self.dtype!r}")
        self._check_clusters()

    def _check_clusters(self) -> None:
        bounds = [0, *self.cutoffs, self.vocab_size]
        if len(self.cutoffs) > MAX_LAYERS or any(low >= high for low, high in pairwise(bounds)):
            raise FolderError(
                f"cutoffs must rise from above 0 to below vocab_size {self.vocab_size}, "
                f"{MAX_LAYERS} at most, not {list(self.cutoffs)}"
            )
        if len(self.tail_sizes) != len(self.cutoffs) or not all(
            1 <= size <= MAX_SIZE for size in self.tail_sizes
        ):
            raise FolderError(
                f"tail_sizes must be one width of 1 to {MAX_SIZE} for each of "
                f"{len(self.cutoffs)} cutoffs, not {list(self.tail_sizes)}"
            )
        if self.tied and any(size != self.embedding_size for size in self.tail_sizes):
            raise FolderError(
                f"clusters tied with the embedding are embedding_size {self.embedding_size} wide, "
                f"not {list(self.tail_sizes)}"
            )

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every weight of such a model, by the name it has on disk."""
        shapes: dict[str, tuple[int, ...]] = {
            "embedding.weight": (self.vocab_size, self.embedding_size)
        }
        width = self.embedding_size
        for layer in range(self.layers):
            for name, shape in weight_shapes(CELLS[self.cell], width, self.hidden_size).items():
                if self.biases or not name.startswith("bias"):
                    shapes[f"layers.{layer}.{name}"] = shape
            width = self.hidden_size
        if self.projection_size:
            shapes["projection.weight"] = (self.projection_size, self.hidden_size)
        width = self.decoder_input_size
        if self.cutoffs:
            return shapes | decoder_shapes(
                width, self.vocab_size, self.cutoffs, self.tail_sizes, tied=self.tied
            )
        if not self.tied:
            shapes["decoder.weight"] = (self.vocab_size, width)
        return shapes | {"decoder.bias": (self.vocab_size,)}

    def tiled_matrices(self) -> list[str]:
        """The names of the matrices that lie in tiles where they are int8.

        These are the ones that are multiplied as a whole. An embedding is read row by row, and a
        tied adaptive softmax is made of parts of it.
        """
        by_rows = {"decoder.clusters.weight"}
        if self.cutoffs or not self.tied:
            by_rows.add("embedding.weight")
        shapes = self.weight_shapes()
        return [name for name, shape in shapes.items() if len(shape) == 2 and name not in by_rows]

    @property
    def decoder_input_size(self) -> int:
        """How many values the decoder reads: the projection's, or the last layer's hidden units."""
        return self.projection_size or self.hidden_size

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(math.prod(shape) for shape in self.weight_shapes().values())

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> Self:
        """The configuration that a ``config.json`` holds.

        Args:
            text: the file's content.
            where: what an error calls the file.

        Raises:
            FolderError: not JSON, of another format, or with a field missing, unknown or wrong.
        """
        table = parse_json(text, where)
        if not isinstance(table, dict) or "format" not in table:
            raise FolderError(f"{where} is not a Carousel configuration")
        if table.pop("format") != FORMAT_VERSION:
            raise FolderError(
                f"{where} is of another format than {FORMAT_VERSION}: made by a newer version?"
            )
        table.pop(HASHES, None)
        known = {field.name for field in fields(cls)}
        if not known - set(OPTIONAL_FIELDS) <= table.keys() <= known:
            wrong = sorted((table.keys() ^ known) - (set(OPTIONAL_FIELDS) - table.keys()))
            raise FolderError(f"{where}: missing or unknown: {', '.join(map(str, wrong))}")
        lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
        try:
            return cls(**(table | lists))
        except FolderError as error:
            raise FolderError(f"{where}: {error}") from None

    def to_json(self, hashes: Mapping[str, str] | None = None) -> str:
        """The text of a ``config.json``.

        Args:
            hashes: the SHA-256 of the folder's other files by name; None to leave them out.
        """
        table = asdict(self)
        for field in fields(self):
            if field.name in OPTIONAL_FIELDS and table[field.name] == field.default:
                del table[field.name]
        if hashes is not None:
            table[HASHES] = dict(hashes)
        return json.dumps({"format": FORMAT_VERSION, **table}, indent=2) + "\n"
