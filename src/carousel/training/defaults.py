"""The settings that nobody chose: from the text's size, the device and the time.

The tables were found by training on WikiText-2, everyday conversations, novels and Shakespeare's
plays. A recipe is taken as it is, and whatever is given by name wins over these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from carousel.text.tokenizer import UNKNOWN


class Size(NamedTuple):
    """A model's size with what goes with it, and from how many tokens on it is worth its time."""

    min_tokens: int
    layers: int
    hidden_size: int
    embedding_size: int
    batch_size: int
    bptt: int
    learning_rate: float


WORDS = (
    Size(0, 1, 100, 100, 8, 32, 0.005),
    Size(50_000, 1, 200, 200, 16, 48, 0.004),
    Size(500_000, 1, 400, 400, 32, 64, 0.003),
    Size(1_500_000, 2, 650, 650, 64, 40, 0.002),
)
"""Sizes of models of words and of byte pairs."""
CHARACTERS = (
    Size(0, 1, 128, 32, 16, 64, 0.005),
    Size(200_000, 1, 256, 64, 32, 64, 0.005),
    Size(700_000, 1, 512, 64, 32, 64, 0.004),
)
"""Sizes of models of characters."""
EMBEDDING_STD = {"words": 0.3, "chars": 1.0}
"""Tied rows of rare words hardly move in a short run: they must be small to begin with."""
MIN_COUNTS = ((5_000_000, 3), (500_000, 2))
"""From how many bytes of text on a word must occur how often to be known."""
MIN_PASSES = 2.5
"""A size is too large for the time if it would read the text fewer times than this ..."""
MIN_READS = 4
"""... and fewer tokens than this many times its ``min_tokens``."""
TOKENS_TO_READ = 20_000_000
"""How many tokens a run without a limit reads in all, within the bounds of ``PASSES``."""
PASSES = (1.0, 30.0)
"""The fewest and the most passes over a text without a limit."""
DROPOUTS = ((1.5, 0.0), (3.0, 0.1), (5.0, 0.2), (9.0, 0.3), (15.0, 0.4), (float("inf"), 0.5))
"""The dropout for at most so many passes: what is read often is easily learned by heart."""
CHOSEN = (
    "tokenizer", "min_count", *Size._fields[1:], "embedding_std", "dropout", "tie_embeddings",
    "epochs",
)  # fmt: skip
"""The settings that are chosen where neither they nor a recipe are given."""
DECODER_ROWS = 1_000
"""Rows of the decoder that a word reads at most: an adaptive softmax reads about so many."""
FLOPS = {"bfloat16": 2e11, "float32": 0.6e11}
"""Operations a second of one CPU core in training, by number format, as measured."""
GPU_FLOPS = 8e12
"""Operations a second of a GPU, as measured on an H200."""


class Budget(NamedTuple):
    """What a run may use: the machine, and the length that was given, if any."""

    device: str = "cpu"
    """``cpu``, ``cuda`` or ``mps``."""
    precision: str = "float32"
    """``float32`` or ``bfloat16``."""
    cores: int = 1
    """CPU threads, or GPUs, of all processes together."""
    max_minutes: float | None = None
    epochs: float | None = None

    @property
    def operations(self) -> float:
        """The operations that fit in the time; infinite without a limit."""
        if self.max_minutes is None:
            return float("inf")
        each = FLOPS[self.precision] if self.device == "cpu" else GPU_FLOPS
        return 60 * self.max_minutes * each * self.cores


def choose_tokenizer(beginning: Iterable[str]) -> str:
    """The tokenizer of a text: ``whitespace`` where it spells ``<unk>`` out, else ``words``.

    Such a text is tokenized already, as WikiText-2 is.

    Args:
        beginning: the first pieces of the text.

    >>> choose_tokenizer(["a <unk> was here"]), choose_tokenizer(["a cat was here"])
    ('whitespace', 'words')
    """
    spelt_out = any(UNKNOWN in piece and UNKNOWN in piece.split() for piece in beginning)
    return "whitespace" if spelt_out else "words"


def choose_min_count(bytes_of_text: int, tokenizer: str) -> int:
    """How often a token must occur to be known.

    >>> choose_min_count(17_000_000, "words"), choose_min_count(17_000_000, "chars")
    (3, 1)
    """
    if tokenizer in ("words", "whitespace"):
        for least, min_count in MIN_COUNTS:
            if bytes_of_text >= least:
                return min_count
    return 1


def choose_settings(
    tokens: int, vocab_size: int, tokenizer: str, budget: Budget, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings for a text, as a table that the given ones override.

    The largest size is taken that the text is long enough for, and that can read enough of it in
    the time there is (``MIN_PASSES``, ``MIN_READS``). The dropout follows from the passes over it.

    Args:
        tokens: how many tokens there are to train on.
        vocab_size: how many kinds of tokens there are.
        tokenizer: words, whitespace, chars or bpe.
        budget: what the run may use.
        given: the settings that were given: sizes among them count in the time.

    Returns:
        Sizes, batches, rate, dropout, and ``epochs`` unless a length was given.

    >>> two_cores = Budget("cpu", "bfloat16", cores=2, max_minutes=20)
    >>> chosen = choose_settings(2_000_000, 33_278, "whitespace", two_cores, {})
    >>> chosen["layers"], chosen["hidden_size"], chosen["dropout"]
    (2, 650, 0.3)
    """
    kind = "chars" if tokenizer == "chars" else "words"
    table = CHARACTERS if kind == "chars" else WORDS
    sizes = [_with_given(size, given) for size in table if size.min_tokens <= tokens]
    size, passes = sizes[-1], budget.epochs
    if budget.max_minutes is not None:
        for size in reversed(sizes):
            read = budget.operations / operations_per_token(size, vocab_size)
            passes = read / tokens
            if passes >= MIN_PASSES or read >= MIN_READS * size.min_tokens:
                break
    if passes is None:
        passes = min(max(TOKENS_TO_READ / tokens, PASSES[0]), PASSES[1])
    chosen = size._asdict() | {
        **choose_batch(tokens, tokenizer),
        "embedding_std": EMBEDDING_STD[kind],
        "dropout": next(p for most_passes, p in DROPOUTS if passes <= most_passes),
        "tie_embeddings": kind == "words",
    }
    del chosen["min_tokens"]
    if kind == "chars":
        chosen["input_dropout"] = 0.0  # a character's vector is small, and says little alone
    if budget.max_minutes is None and budget.epochs is None:
        chosen["epochs"] = round(passes, 1)
    return chosen


def choose_batch(tokens: int, tokenizer: str) -> dict[str, int]:
    """The ``batch_size`` and ``bptt`` for a text: as large as it allows, whatever the time.

    >>> choose_batch(200_000, "words")
    {'batch_size': 16, 'bptt': 48}
    """
    table = CHARACTERS if tokenizer == "chars" else WORDS
    size = [size for size in table if size.min_tokens <= tokens][-1]
    return {"batch_size": size.batch_size, "bptt": size.bptt}


def operations_per_token(size: Size, vocab_size: int) -> float:
    """The operations that training takes for a token: six for each weight that it meets.

    >>> operations_per_token(Size(0, 1, 100, 100, 8, 32, 0.005), 1000)
    1080000
    """
    H = size.hidden_size
    layers = 4 * H * (size.embedding_size + H) + (size.layers - 1) * 8 * H * H
    return 6 * (layers + min(vocab_size, DECODER_ROWS) * size.embedding_size)


def describe_choice(tokens: int, settings: Mapping[str, Any], budget: Budget) -> str:
    """What was chosen and for what, in one line.

    >>> settings = {"layers": 1, "hidden_size": 100, "dropout": 0.5, "epochs": 30.0}
    >>> describe_choice(900, settings | {"min_count": 1}, Budget())
    'For 900 tokens: 1 layer of 100 units, dropout 0.5, min_count 1, 30 passes'
    """
    layers = "1 layer" if settings["layers"] == 1 else f"{settings['layers']} layers"
    minutes = "" if budget.max_minutes is None else f" in {budget.max_minutes:g} minutes"
    passes = "" if settings["epochs"] is None else f", {settings['epochs']:g} passes"
    return (
        f"For {tokens:,} tokens{minutes}: {layers} of {settings['hidden_size']} units, "
        f"dropout {settings['dropout']:g}, min_count {settings['min_count']}{passes}"
    )


def _with_given(size: Size, given: Mapping[str, Any]) -> Size:
    """A size with the parts that were given; an embedding is no wider than the layers by itself."""
    sizes = {name: given[name] for name in size._fields if given.get(name) is not None}
    width = min(size.embedding_size, sizes.get("hidden_size", size.hidden_size))
    return size._replace(**{"embedding_size": width, **sizes})
