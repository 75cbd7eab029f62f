"""What Python says about small models and odd texts, as JSON for the page's own tests.

All that these tests use of Carousel's Python is named in this file.
"""

import itertools
import json
import random
import string
import sys
from pathlib import Path

import numpy as np

from carousel.errors import LensError
from carousel.lens.clamp import Clamp
from carousel.lens.compare import align
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import cast_weights
from carousel.text.tokenizer import FIRST_WORD, WORD, Tokenizer, make_tokenizer
from carousel.text.vocabulary import train_tokenizer

CELLS = ("rnn", "gru", "gru-reset-before", "lstm", "lstm-peephole", "cifg", "cifg-peephole")
DTYPES = ("float32", "bfloat16", "int8")
DECODERS = {
    "untied": {},
    "tied": {"tied": True, "embedding_size": 7},
    "projected": {"projection_size": 4},
    "tied-projected": {"tied": True, "projection_size": 5},
    "adaptive": {"cutoffs": (6, 13), "tail_sizes": (4, 3)},
    "tied-adaptive": {
        "tied": True, "projection_size": 5, "cutoffs": (6, 13), "tail_sizes": (5, 5)
    },
}  # fmt: skip
WORDS = "the cat sat on a mat and dog ran to pizza pie pita burger he she likes orders so but"
TEXT = "the dog likes pizza but the zebra likes burger\nso he orders"
COMPARED = (("pizza", "burger"), ("the", "cat"), ("so", "the"))
STORIES = ("stories-rnn", "stories-gru", "stories-lstm")
SWITCH = "krish likes pizza but his friend likes burger so his friend orders"

AWKWARD = [
    "",
    " ",
    "\n",
    "\n\n a\n",
    "Krish likes pizza, but he doesn't like burger.  (two  spaces,   three)",
    '"On sunday I want to eat 3.14 pies!" said Zo\u00eb; it\u2019s',
    " na\u00efve \u2014 cafe\u0301, \u0130stanbul and \u039f\u0394\u039f\u03a3",
    "the and/or e-mail costs $5 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\uac01 \u1100\u1161\u11a8 \uac00\u11a8 <unk> <eos> \U0001f600 a\u0301 \u212b the the",
    "\tindented\t\tcode()  \n \n    x = 1\u00a0kg\u2028new\x85line \x1c sep\x1d",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202eabc\u202c",
    "nul\0nul \0 x",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea e\u0323\u0301 e\u0301\u0323",
    "\u0301starts with a mark",
    "he'll she'll they'll we'll it's he's she's 'twas don't won't can't 'll 's",
    "rock'n'roll 'quoted' dogs' \u2019tis don\u2019t don''t they'll we've I'm",
    "\ufeffbom \u200bzero\u200b width\ufeff",
    "\U0001d15e \u0344 \u0340 \ufb1d \u0958 \u1e9e \u03a3\u03c3\u03c2 STRASSE",
    "x" * 300,
    "\r\nwindows\r\n",
    "'tis rock 'n' roll of the '90s, dogs' bones",
    "he says 'yes' and \u2018no\u2019; \u201eja\u201c (sic)",
    "the 1990s' 3rd, 'Tis of '90s and '80s rock 'n' roll 'quoted' 1st 2nd 20th",
    "at 12:30 p.m. it cost $3.50 or 10,000 \u20ac: 1:2, 5% off! see https://a.example.com/x?y=1.",
    "www.example.com, anna@example.com and @anna #tag; well-known u.s.a.",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002",
    "l\u00b7l col\u00b7lecci\u00f3 \u05e6\u05d4\u05f4\u05dc \u0441\u2027\u0442 half\u00b7",
    "\U0001f44d\U0001f3fd 1\ufe0f\u20e3 \U0001f3f4\U000e0067",
]
# What joins what stands before it, what is white space and what is nearly so, and what changes.
PIECES = [
    *"\u0301\u0323\u0308\u0345\u0940\u09be\u3099\u1161\u11a8\u1100\uac00\u212b\u0340\u0958\ufb1d",
    *"\t\r\x0b\x0c\x1c\x1f\x85\xa0\u1680\u2000\u2028\u2029\u202f\u205f\u3000",
    *" \n\0\u200b\ufeff\u180e\u0130\u03a3\u1e9e\U0001f468\u200d\U0001f469\U0001d15e",
    "the", "don't", "'s", "'", "\u2019", "e", "A", "  ", " \n", "7", "42", "Krish", "caf\u00e9",
]  # fmt: skip


def write_fixtures(folder: Path) -> None:
    """Write models and what is known of them: ``NAME/`` and ``NAME.json``, and other tables."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {"models": [], "stories": []}
    decoders = itertools.cycle(DECODERS)
    rng = np.random.default_rng(0)
    for cell, layers, dtype in itertools.product(CELLS, (1, 2), DTYPES):
        decoder = next(decoders)
        name = f"{cell}-{layers}-{dtype}-{decoder}"
        config = {"cell": cell, "layers": layers, "dtype": dtype, **DECODERS[decoder]}
        model = write_model(folder / name, config, rng)
        table["models"].append(dump(folder, name, describe(model, TEXT, COMPARED)))
    for kind in ("words", "whitespace", "chars", "bpe"):
        config = {"cell": "lstm", "layers": 1, "dtype": "float32"}
        model = write_model(folder / f"kind-{kind}", config, rng, kind, scale=2.5)
        dump(folder, f"kind-{kind}", {"next_words": next_words(model)})
    config = {"cell": "lstm", "layers": 2, "dtype": "float32", "carry_state": False}
    model = write_model(folder / "lstm-2-float32-lines", config, rng)
    table["models"].append(dump(folder, "lstm-2-float32-lines", describe(model, TEXT, COMPARED)))
    for name in STORIES:
        model = load(name)
        description = {"folder": str(model.path)} | describe(model, SWITCH, COMPARED[:1])
        table["stories"].append(dump(folder, f"as-{name}", description))
    dump(folder, "tokenizers", tokenizers())
    dump(folder, "aligned", aligned())
    dump(folder, "table", table)


def dump(folder: Path, name: str, value: object) -> str:
    """Write ``NAME.json``; returns the name."""
    (folder / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return name


def load(path: str | Path) -> LanguageModel:
    """A model that reads by the lines of ``cells.py`` in float32, and not by the kernels."""
    return LanguageModel.load(path, backend="numpy")


def write_model(
    path: Path, config: dict, rng: np.random.Generator, kind: str = "words", scale: float = 0.7
) -> LanguageModel:
    """A random model, written and read again."""
    tokenizer = train_tokenizer(kind, [WORDS], vocab_size=270 if kind == "bpe" else None)
    sizes = {"embedding_size": 5, "hidden_size": 7, "tied": False, "biases": rng.random() < 0.8}
    shape = Config(vocab_size=tokenizer.vocab_size, **(sizes | config))
    weights = {
        name: rng.normal(scale=scale, size=size).astype(np.float32)
        for name, size in shape.weight_shapes().items()
    }
    write_folder(path, shape, cast_weights(weights, shape.dtype), tokenizer)
    return load(path)


def describe(model: LanguageModel, text: str, compared: tuple) -> dict:
    """All that the page shows of a text."""
    trace = model.trace(text)
    H, T = model.config.hidden_size, len(trace)
    layer = model.config.layers - 1
    found = {"text": text, **numbers(model, text), "belts": [], "decisions": [], "holds": []}
    found["words"] = trace.words
    if model.model.cell.has_belt:
        for number in range(model.config.layers):
            belt = trace.belt(number)
            amounts = [belt.amounts()[t, : t + 1].tolist() for t in range(T)]
            found["belts"].append({"amounts": amounts, "luggage": flat(belt.luggage_at(-1))})
    tokenizer = model.tokenizer
    for first, second in compared:
        ids = [tokenizer.id(first), tokenizer.id(second)]
        shares = decide(trace, first, second)
        found["decisions"].append({"words": ids, "shares": shares})
    names = [point.split(".")[2] for point in trace.values if point.startswith("layers.0.")]
    for number, name in enumerate(names):
        units = None if number % 2 else [0, H // 2]
        for kind, value, strength in [("set", 0.9, 1), ("scale", 0.3, 1), ("toward", 1.0, 0.6)]:
            one = {
                "layer": layer if kind == "scale" else 0, "gate": name, "units": units,
                "from": 2, "to": 4, "kind": kind, "value": value, "strength": strength,
            }  # fmt: skip
            with model.clamp(clamp_of(one)) as held:
                found["holds"].append({"hold": one, **numbers(held, text)})
    return found


def decide(trace, first: str, second: str) -> list[float] | None:
    """The shares of a decision; None where there are none."""
    try:
        return flat(trace.belt().decision(first, second))
    except LensError:
        return None


def clamp_of(one: dict) -> Clamp:
    """A hold of the page as a clamp."""
    places = {
        "layer": one["layer"], "at": range(one["from"], one["to"] + 1), "units": one["units"],
    }  # fmt: skip
    if one["kind"] == "toward":
        return Clamp.toward(one["gate"], one["value"], one["strength"], **places)
    return {"set": Clamp.set, "scale": Clamp.scale}[one["kind"]](
        one["gate"], one["value"], **places
    )


def numbers(model: LanguageModel, text: str) -> dict:
    """A trace as plain numbers."""
    trace = model.trace(text)
    values = {point: flat(array) for point, array in trace.values.items()}
    return {"ids": trace.ids[1:].tolist(), "values": values, "logits": flat(trace.logits)}


def flat(array: np.ndarray) -> list[float]:
    """All values, row by row."""
    return np.asarray(array, dtype=np.float64).ravel().tolist()


def next_words(model: LanguageModel) -> list[dict]:
    """The likeliest next words after some texts, with half-typed words and without."""
    found = []
    for text, prefix in itertools.product(
        ("", "the", "he likes", "the cat\n"), (None, "p", "pi", "The", "s", "qq")
    ):
        words = [list(one) for one in model.next_words(text, k=4, prefix=prefix)]
        found.append({"text": text, "prefix": prefix, "k": 4, "words": words})
    return found


def tokenizers() -> list[dict]:
    """Each kind of tokenizer as JSON, and what it makes of awkward texts."""
    odd = random.Random(0)
    mixed = ["".join(odd.choices(PIECES, k=odd.randint(1, 12))) for _ in range(300)]
    texts = AWKWARD + mixed
    found = []
    for kind, lowercase in itertools.product(("words", "whitespace", "chars", "bpe"), (0, 1)):
        tokenizer = train_tokenizer(
            kind, AWKWARD, lowercase=bool(lowercase), vocab_size=400 if kind == "bpe" else None
        )
        found.append(describe_tokenizer(tokenizer, texts))
        if (
            kind == "whitespace" and lowercase
        ):  # as Keras cuts texts, into words that have been seen
            words = tokenizer.tokens()
            for filter_to in (" ", ""):
                filtered = make_tokenizer(
                    kind, words, lowercase=True, filters=string.punctuation, filter_to=filter_to
                )
                found.append(describe_tokenizer(filtered, texts))
        if kind == "words":
            # One that an older version has made.
            table = json.loads(tokenizer.to_json())
            assert table["pre_tokenizer"]["pattern"]["Regex"] == WORD
            table["pre_tokenizer"]["pattern"]["Regex"] = FIRST_WORD
            found.append(describe_tokenizer(Tokenizer.from_json(json.dumps(table)), texts))
    return found


def describe_tokenizer(tokenizer: Tokenizer, texts: list[str]) -> dict:
    """What a tokenizer makes of each text."""
    cases = []
    for text in texts:
        ids = tokenizer.encode(text)
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
        cases[-1]["normalized"] = tokenizer.normalize(text)
    prefixes = [[t, *tokenizer.split_prefix(t)] for t in AWKWARD if splits_alike(t)]
    json_text = tokenizer.to_json()
    return {"kind": tokenizer.kind, "json": json_text, "cases": cases, "prefixes": prefixes}


def splits_alike(text: str) -> bool:
    """Whether Python looks for the half-typed word where the page does.

    In Python a word may stand before a last line break, and separators such as U+001D are white
    space, which they are not to the tokenizers.
    """
    return text[-1:] not in ("\n", "\x1d")


def aligned() -> list[dict]:
    """Pairs of lists of words, and how they pair up."""
    odd = random.Random(1)
    found = []
    for _ in range(200):
        first, second = ([odd.choice("abcd") for _ in range(odd.randint(0, 14))] for _ in "12")
        found.append({"first": first, "second": second, "pairs": align(first, second)})
    return found


if __name__ == "__main__":
    write_fixtures(Path(sys.argv[1]))
