"""The settings of a training run, from command-line flags, keyword arguments or a TOML recipe."""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, Self, Union, get_args, get_origin, get_type_hints

from carousel.cells import CELLS
from carousel.errors import FolderError, SettingsError
from carousel.storage.regular_file import read_text
from carousel.text.tokenizer import KINDS

MAX_RECIPE_BYTES = 2**20
CHOICES: dict[str, tuple[str, ...]] = {
    "tokenizer": tuple(KINDS),
    "cell": tuple(CELLS),
    "softmax": ("auto", "full", "adaptive", "sampled"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "constant"),
    "averaging": ("none", "ema", "nt-asgd"),
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": ("auto", "float32", "bfloat16"),
}
"""The settings that take one of a few words, and the words."""
FRACTIONS = (
    "valid_fraction", "test_fraction", "warmup", "dropout", "input_dropout", "hidden_dropout",
    "output_dropout", "embedding_dropout", "weight_drop",
)  # fmt: skip
"""The settings that are 0 to 0.95."""
NOT_NEGATIVE = (
    "l2_sp", "weight_decay", "grad_clip", "patience", "projection_size",
    "activation_regularization", "temporal_activation_regularization",
)  # fmt: skip
"""The settings that are 0 or more."""
RENAMED = {
    "tokens": "tokenizer",
    "tied": "tie_embeddings",
    "clip": "grad_clip",
    "batch": "batch_size",
    "minutes": "max_minutes",
}
"""Old names of settings, which recipes and ``--set`` may still use, and the names they have now."""


@dataclass(frozen=True)
class Settings:
    """All settings of a training run. Each one is checked when the object is made.

    The text under a field is the help of its command-line flag.

    Raises:
        SettingsError: a value has the wrong type or is out of range. The message names the setting.

    >>> Settings(cell="gru", epochs=5).hidden_size
    200
    """

    # text
    tokenizer: str = "words"
    """How the text is split into tokens: words, whitespace, chars or bpe."""
    lowercase: bool | None = None
    """Convert the text to lower case. The default is true for words, false for the others."""
    min_count: int = 1
    """Tokens that occur fewer times than this become the unknown token."""
    unk_probability: float = 0.5
    """With min_count 1: how often a word that occurs once stands for the unknown word."""
    vocab_size: int | None = None
    """The largest size of the vocabulary. For bpe, the size to reach."""
    extend_vocab: bool = False
    """Fine-tuning: add the text's new words to the model's vocabulary."""
    valid_fraction: float = 0.05
    """Fraction of the text, at its end, for validation. Not used with a validation file."""
    test_fraction: float = 0.0
    """Fraction of the text, at its very end, for one test after training."""
    # model
    cell: str = "lstm"
    """The cell: rnn, gru, gru-reset-before, lstm, lstm-peephole, cifg or cifg-peephole."""
    layers: int = 1
    """Number of recurrent layers."""
    embedding_size: int = 200
    """Size of the embedding vectors (E)."""
    embedding_std: float = 1.0
    """Standard deviation of the embedding's initial values, which are normally distributed."""
    hidden_size: int = 200
    """Number of units in each layer (H)."""
    tie_embeddings: bool = True
    """Use the embedding's weights in the decoder too. If E and H differ, a projection is added."""
    projection_size: int = 0
    """Size of a projection before the decoder, or 0 for none. With tied embeddings: 0 or E."""
    dropout: float = 0.0
    """Dropout probability after the embedding, between layers and before the decoder."""
    input_dropout: float | None = None
    """Dropout probability after the embedding. The default is the value of dropout."""
    hidden_dropout: float | None = None
    """Dropout probability between layers. The default is the value of dropout."""
    output_dropout: float | None = None
    """Dropout probability before the decoder. The default is the value of dropout."""
    locked_dropout: bool = False
    """Locked (variational) dropout: drop the same units at every word of a sequence."""
    embedding_dropout: float = 0.0
    """Probability of dropping a word of the vocabulary at all its places in a batch."""
    weight_drop: float = 0.0
    """Dropout probability of the recurrent weights."""
    activation_regularization: float = 0.0
    """AR: weight of the penalty on large values of what the decoder reads."""
    temporal_activation_regularization: float = 0.0
    """TAR: weight of the penalty on how much these values change from word to word."""
    softmax: str = "auto"
    """full; adaptive (rare words in clusters); sampled (trained on an estimate); or auto."""
    # optimization
    optimizer: str = "adamw"
    """The optimizer: adamw or sgd."""
    learning_rate: float = 0.003
    """The highest learning rate. It is reached after warm-up."""
    schedule: str = "cosine"
    """The learning rate after warm-up: cosine (it falls to 0 along a cosine) or constant."""
    l2_sp: float = 0.0
    """Fine-tuning: L2-SP, the strength that pulls the weights back to those of the model."""
    weight_decay: float = 0.0
    """Weight decay: decoupled for adamw, an L2 penalty for sgd."""
    warmup: float = 0.02
    """Fraction of the run in which the learning rate rises."""
    grad_clip: float = 1.0
    """The largest norm of the gradients; larger ones are scaled down. 0 turns this off."""
    averaging: str = "none"
    """Averaged weights: none, ema (exponential), or nt-asgd (the mean once validation stalls)."""
    ema_decay: float = 0.999
    """For ema: the part of the average that stays at each step."""
    batch_size: int = 32
    """Number of text streams read side by side (B)."""
    bptt: int = 64
    """Number of tokens through which gradients flow back (truncated BPTT, T)."""
    random_bptt: bool = False
    """Vary the length of batches around bptt at random, and the learning rate with it."""
    carry_state: bool = True
    """Carry the state over the end of a line. If not, each line is a text of its own."""
    epochs: float | None = None
    """Number of passes over the text. 10 in a recipe that gives no length."""
    max_minutes: float | None = None
    """Length of the training in minutes, validation included. The schedule is fitted to it."""
    patience: int = 5
    """Early stopping: stop after this many validations without improvement. 0 turns this off."""
    # machine
    seed: int = 0
    """Random seed of the initial weights and of dropout."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda or mps."""
    threads: int | None = None
    """Number of CPU threads. The default is PyTorch's choice."""
    precision: str = "auto"
    """Number format of large matrix products: float32; bfloat16 (with float16 in the layers on a
    GPU); or auto (the faster one)."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = _checked_type(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        for name, choices in CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for name in ("min_count", "embedding_size", "hidden_size", "batch_size", "bptt"):
            _check_range(name, getattr(self, name), 1, 2**20)
        _check_range("layers", self.layers, 1, 64)
        for name, low in (("vocab_size", 3), ("threads", 1)):
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), low, 2**24)
        for name in FRACTIONS:
            if getattr(self, name) is not None:
                _check_range(name, getattr(self, name), 0, 0.95)
        for name in NOT_NEGATIVE:
            _check_range(name, getattr(self, name), 0, 2**20)
        _check_range("unk_probability", self.unk_probability, 0, 1)
        _check_range("ema_decay", self.ema_decay, 0.5, 0.999999)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        for name in ("learning_rate", "embedding_std", "epochs", "max_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} must be more than 0, not {value}")
        if self.epochs is not None and self.max_minutes is not None:
            raise SettingsError("epochs and max_minutes can't both be set: give one of them")
        if self.l2_sp * self.learning_rate >= 1:
            raise SettingsError(
                f"l2_sp {self.l2_sp:g} undoes each step at a learning_rate of "
                f"{self.learning_rate:g}: their product must be below 1"
            )
        if self.valid_fraction + self.test_fraction > 0.95:
            raise SettingsError("valid_fraction and test_fraction leave nothing to train on")
        if self.tie_embeddings and self.projection_size not in (0, self.embedding_size):
            raise SettingsError(
                f"projection_size {self.projection_size} can't be used with tied embeddings: it "
                f"must equal embedding_size {self.embedding_size}, or set tie_embeddings = false"
            )

    @classmethod
    def merged(cls, *tables: Mapping[str, Any]) -> Self:
        """Settings from several tables: a later table overrides an earlier one.

        A value of None counts as not given. Old names (``RENAMED``) are accepted. A table with
        ``max_minutes`` drops the ``epochs`` of the tables before it, and the other way round.

        Raises:
            SettingsError: an unknown name, or a value that can't be used.

        >>> Settings.merged({"epochs": 3}, {"batch": 8}).batch_size
        8
        """
        merged: dict[str, Any] = {}
        for table in tables:
            given = {name: value for name, value in rename_keys(table).items() if value is not None}
            check_keys(given)
            if "max_minutes" in given and "epochs" not in given:
                merged.pop("epochs", None)
            if "epochs" in given and "max_minutes" not in given:
                merged.pop("max_minutes", None)
            merged |= given
        return cls(**merged)

    def to_toml(self) -> str:
        """The settings as the text of a recipe. Settings that are None are left out."""
        import tomli_w

        return tomli_w.dumps({k: v for k, v in asdict(self).items() if v is not None})


class Setting(NamedTuple):
    """One setting, described for a command-line flag or for a page of the documentation."""

    name: str
    type: type
    """``str``, ``int``, ``float`` or ``bool``."""
    default: str | int | float | bool | None
    help: str
    """Its docstring, on one line."""
    choices: tuple[str, ...] = ()
    """The allowed words, if the setting takes one of a few."""


def describe_settings() -> list[Setting]:
    """Every field of ``Settings``, in order, with its type, default and docstring.

    >>> describe_settings()[0].name
    'tokenizer'
    """
    (class_definition,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(class_definition, ast.ClassDef)
    # Python keeps no docstrings of fields: they are read from the source.
    docstrings = {}
    for field, text in zip(class_definition.body, class_definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            docstrings[ast.unparse(field.target)] = " ".join(
                str(ast.literal_eval(text.value)).split()
            )
    hints, defaults = get_type_hints(Settings), Settings()
    return [
        Setting(
            field.name,
            _types_of(hints[field.name])[0],
            getattr(defaults, field.name),
            docstrings[field.name],
            CHOICES.get(field.name, ()),
        )
        for field in fields(Settings)
    ]


def read_recipe(name: str) -> dict[str, Any]:
    """Read a recipe: a TOML file, or one that comes with Carousel (``characters``, for example).

    Returns:
        The recipe's settings by their present names.

    Raises:
        SettingsError: the recipe does not exist, is not TOML, or names an unknown setting.
    """
    path = Path(name)
    shipped = resources.files("carousel.training") / "recipes"
    try:
        if path.exists() and (path.suffix == ".toml" or path.is_file()):
            text = read_text(path, MAX_RECIPE_BYTES)
        else:
            text = (shipped / f"{name}.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        names = ", ".join(
            sorted(p.name.removesuffix(".toml") for p in shipped.iterdir() if p.name[0] != "_")
        )
        raise SettingsError(f"no recipe {name!r}: give a TOML file, or one of {names}") from None
    except FolderError as error:
        raise SettingsError(f"recipe {error}") from None
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"recipe {name} is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"recipe {name} is not TOML: {error}") from None
    table = rename_keys(table, where=f"recipe {name}: ")
    check_keys(table, where=f"recipe {name}: ")
    return table


def rename_keys(table: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """A table of settings in which old names are replaced by the present ones.

    Raises:
        SettingsError: a setting is given under both names. ``where`` begins the message.

    >>> rename_keys({"batch": 8, "epochs": 2})
    {'batch_size': 8, 'epochs': 2}
    """
    renamed: dict[str, Any] = {}
    for key, value in table.items():
        name = RENAMED.get(key, key)
        if value is not None and renamed.get(name) is not None:
            raise SettingsError(f"{where}{name} is given twice, once by an old name: give it once")
        renamed[name] = renamed.get(name) if value is None else value
    return renamed


def check_keys(table: Mapping[str, Any], where: str = "") -> None:
    """Refuse keys that are not settings.

    Raises:
        SettingsError: an unknown key. The message begins with ``where`` and suggests a right name.
    """
    known = [field.name for field in fields(Settings)]
    for key in table:
        if key not in known:
            initials = [name for name in known if "".join(w[0] for w in name.split("_")) == key]
            near = initials or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
            raise SettingsError(f"{where}no setting is called {key!r}{hint}")


def _types_of(hint: Any) -> tuple[type, ...]:
    """The types that a field's annotation allows, ``NoneType`` among them."""
    is_union = get_origin(hint) in (Union, types.UnionType)
    return get_args(hint) if is_union else (hint,)


def _checked_type(name: str, value: Any, hint: Any) -> Any:
    allowed = _types_of(hint)
    if value is None and type(None) in allowed:
        return value
    if float in allowed and type(value) is int:
        return float(value)
    # bool is an int in Python, but a recipe with `layers = true` is a mistake.
    if type(value) not in allowed:
        names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
        expected = " or ".join(names[option] for option in allowed if option in names)
        raise SettingsError(f"{name} must be {expected}, not {value!r}")
    return value


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{name} must be between {low} and {high}, not {value}")
