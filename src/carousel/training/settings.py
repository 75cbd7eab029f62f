"""The settings of a run: one flat table, from flags, keyword arguments or a TOML recipe."""

from __future__ import annotations

import difflib
import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from carousel.cells import CELLS
from carousel.errors import SettingsError
from carousel.text.tokenizer import KINDS

OPTIMIZERS = ("adamw", "sgd")
DEVICES = ("auto", "cpu", "cuda", "mps")
SOFTMAXES = ("auto", "full", "adaptive", "sampled")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a run does; the text itself apart.

    Raises:
        SettingsError: a value of the wrong type or out of its range, in one line that names it.
    """

    # text
    tokens: str = "words"
    """How text is cut: words, whitespace, chars or bpe."""
    lowercase: bool | None = None
    """Lower-case the text; by default so for words and not for the others."""
    min_count: int = 1
    """Words (characters) seen fewer times become the unknown word."""
    vocab_size: int | None = None
    """Keep at most this many kinds of tokens (the size to grow to for bpe)."""
    valid_fraction: float = 0.05
    """The share of the text, taken from its end, that validates; unused where a file is named."""
    test_fraction: float = 0.0
    """The share of the text after that which is only tested on, once, at the end."""
    # model
    cell: str = "lstm"
    """The recurrent cell."""
    layers: int = 1
    """Layers of cells."""
    embedding_size: int = 200
    """Width E of the embedding."""
    embedding_std: float = 1.0
    """Standard deviation of the normal numbers that the embedding starts with."""
    hidden_size: int = 200
    """Units H of each layer."""
    tied: bool = True
    """The decoder uses the embedding's weights; where E != H, a projection from H to E too."""
    projection_size: int = 0
    """Width of the projection before the decoder; 0 for none (tied: none or E)."""
    dropout: float = 0.0
    """Dropout after the embedding, between layers and before the decoder."""
    softmax: str = "auto"
    """full; adaptive (rare words in clusters); sampled (full, trained on an estimate); or auto."""
    # optimization
    optimizer: str = "adamw"
    """adamw or sgd."""
    learning_rate: float = 0.003
    """The highest rate, reached after warm-up; it falls to 0 along a cosine."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, or SGD's L2 penalty."""
    warmup: float = 0.02
    """The share of the run over which the rate rises."""
    clip: float = 1.0
    """Gradients are scaled down to this norm at most; 0 for never."""
    batch: int = 32
    """Streams B that are read side by side."""
    bptt: int = 64
    """Words T through which gradients go back (truncated BPTT)."""
    epochs: float | None = None
    """How often the text is read; 10 where neither epochs nor minutes are given."""
    minutes: float | None = None
    """How long training may take, validation included; the schedule fits it."""
    patience: int = 5
    """Stop after so many validations in a row without a better one; 0 for never."""
    # machine
    seed: int = 0
    """Seed of weights and dropout."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int | None = None
    """CPU threads; by default PyTorch's choice."""
    precision: str = "auto"
    """Of the large products: float32, bfloat16, or bfloat16 where the machine is fast at it."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = _checked_type(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        _one_of("tokens", self.tokens, KINDS)
        _one_of("cell", self.cell, tuple(CELLS))
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("device", self.device, DEVICES)
        _one_of("softmax", self.softmax, SOFTMAXES)
        _one_of("precision", self.precision, PRECISIONS)
        for name in ("min_count", "embedding_size", "hidden_size", "batch", "bptt"):
            _within(name, getattr(self, name), 1, 2**20)
        _within("layers", self.layers, 1, 64)
        for name, low in (("vocab_size", 3), ("threads", 1)):
            if getattr(self, name) is not None:
                _within(name, getattr(self, name), low, 2**24)
        for name in ("valid_fraction", "test_fraction", "dropout", "warmup"):
            _within(name, getattr(self, name), 0, 0.95)
        for name in ("weight_decay", "clip", "patience", "projection_size"):
            _within(name, getattr(self, name), 0, 2**20)
        _within("seed", self.seed, 0, 2**63 - 1)
        for name in ("learning_rate", "embedding_std", "epochs", "minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} must be more than 0, not {value}")
        if self.epochs is not None and self.minutes is not None:
            raise SettingsError("epochs and minutes can't both be set: give one of them")
        if self.valid_fraction + self.test_fraction > 0.95:
            raise SettingsError("valid_fraction and test_fraction leave nothing to train on")
        if self.tied and self.projection_size not in (0, self.embedding_size):
            raise SettingsError(
                f"projection_size {self.projection_size} can't be used with tied weights: it must "
                f"equal embedding_size {self.embedding_size}, or set tied = false"
            )

    @classmethod
    def merged(cls, *tables: Mapping[str, Any]) -> Self:
        """Settings from tables of which the later override the earlier; None means not given.

        Giving ``minutes`` drops an earlier table's ``epochs`` and the other way round.
        """
        values: dict[str, Any] = {}
        for table in tables:
            given = {key: value for key, value in table.items() if value is not None}
            check_keys(given)
            if "minutes" in given and "epochs" not in given:
                values.pop("epochs", None)
            if "epochs" in given and "minutes" not in given:
                values.pop("minutes", None)
            values |= given
        return cls(**values)

    def to_toml(self) -> str:
        """The settings as a recipe; what is None is left out."""
        import tomli_w

        return tomli_w.dumps({k: v for k, v in asdict(self).items() if v is not None})


def read_recipe(name: str) -> dict[str, Any]:
    """The table of a recipe: a TOML file, or the name of one that comes with Carousel.

    Raises:
        SettingsError: no such recipe, not TOML, or a key that is no setting.
    """
    path = Path(name)
    shipped = resources.files("carousel.training") / "recipes"
    try:
        if path.suffix == ".toml" or path.is_file():
            text = path.read_text(encoding="utf-8")
        else:
            text = (shipped / f"{name}.toml").read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        names = ", ".join(
            sorted(p.name.removesuffix(".toml") for p in shipped.iterdir() if p.name[0] != "_")
        )
        raise SettingsError(f"no recipe {name!r}: give a TOML file, or one of {names}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"recipe {name} can't be read: {error}") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"recipe {name} is not TOML: {error}") from None
    check_keys(table, where=f"recipe {name}: ")
    return table


def check_keys(table: Mapping[str, Any], where: str = "") -> None:
    """Refuse keys that are no settings, with the nearest right one suggested."""
    known = [field.name for field in fields(Settings)]
    for key in table:
        if key not in known:
            initials = [name for name in known if "".join(w[0] for w in name.split("_")) == key]
            near = initials or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise SettingsError(f"{where}no setting is called {key!r}{hint}")


def _checked_type(name: str, value: Any, wanted: Any) -> Any:
    options = get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)
    if value is None and type(None) in options:
        return value
    if float in options and type(value) is int:
        return float(value)
    # bool is an int in Python; a recipe that says `layers = true` means something else.
    if type(value) not in options:
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        expected = " or ".join(names[option] for option in options if option in names)
        raise SettingsError(f"{name} must be {expected}, not {value!r}")
    return value


def _one_of(name: str, value: str, options: tuple[str, ...]) -> None:
    if value not in options:
        raise SettingsError(f"{name} must be one of {', '.join(options)}, not {value!r}")


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{name} must be between {low} and {high}, not {value}")
