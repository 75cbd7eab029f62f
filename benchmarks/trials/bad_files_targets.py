"""What is read in the trial of bad files: every kind of file, as a function of its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from carousel.convert.checkpoint import read_checkpoint
from carousel.convert.vocabulary import read_vocabulary
from carousel.inference.model import RecurrentLM
from carousel.lens.state_search import index_states
from carousel.lens.trace import Trace
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import DTYPES, cast_weights
from carousel.text.corpus import build_corpus
from carousel.text.files import read_pieces
from carousel.text.tokenizer import KINDS, Tokenizer
from carousel.text.vocabulary import train_tokenizer
from carousel.training.run.checkpoint import CheckpointSpec, read_tensors, write_tensors
from carousel.training.settings import Settings, read_recipe
from trials.models import random_model

TEXT = "krish likes pizza, but he doesn’t like burger.\nthe lowest café\n" * 4


class Target(NamedTuple):
    """A kind of file."""

    name: str
    seeds: list[bytes]
    """Whole files of this kind."""
    read: Callable[[bytes], object]
    """Reads one. All errors but ``CarouselError`` are failures."""


def make_targets(place: Path) -> list[Target]:
    """All targets; they write their files into the folder ``place``."""
    return [
        *_folder_targets(place),
        *_text_targets(place),
        *_run_targets(place),
        *_foreign_targets(place),
    ]


def _folder_targets(place: Path) -> list[Target]:
    """A model folder's files, each changed while the others are whole, and the parsers alone."""
    targets = []
    seeds: dict[str, list[bytes]] = {}
    shapes: list[tuple[str, dict]] = [("lstm", {}), ("gru", {"layers": 2})]
    shapes += [("lstm-peephole", {"cutoffs": (5, 9), "tail_sizes": (3, 2)})]
    for number, (cell, more) in enumerate(shapes):
        model = random_model(1, cell, words=12, hidden_size=6, embedding_size=5)
        config = replace(model.config, **more)
        rng = np.random.default_rng(number)
        weights = {
            name: rng.normal(size=shape).astype(np.float32)
            for name, shape in config.weight_shapes().items()
        }
        config = replace(config, dtype=DTYPES[number])
        path = place / f"folder-{number}"
        word = model.tokenizer.token(2)
        model.tokenizer.forms = {word: word.upper()}
        write_folder(path, config, cast_weights(weights, config.dtype), model.tokenizer)
        # Without hashes, so that a changed file is looked into.
        (path / "config.json").write_text(config.to_json())
        for name in ("config.json", "model.safetensors", "tokenizer.json", "truecase.json"):
            whole = (path / name).read_bytes()
            seeds.setdefault(name, []).append(whole)

            def read(data: bytes, path: Path = path, name: str = name, whole: bytes = whole):
                (path / name).write_bytes(data)
                try:
                    folder = read_folder(path, mmap=False)
                finally:
                    (path / name).write_bytes(whole)
                run = RecurrentLM(folder.config, folder.weights)
                return run.step([0], run.initial_state())

            targets.append(Target(f"folder, {name}", [whole], read))

    def parse_config(data: bytes) -> object:
        return Config.from_json(data.decode("utf-8", "replace"))

    targets.append(Target("config.json", seeds["config.json"], parse_config))

    def parse_tokenizer(data: bytes) -> object:
        tokenizer = Tokenizer.from_json(data.decode("utf-8", "replace"))
        return tokenizer.decode(tokenizer.encode(TEXT))

    tokenizers = [train_tokenizer(kind, [TEXT]).to_json().encode() for kind in KINDS]
    # Byte pairs are of many letters; without pretty spaces they are read faster.
    tokenizers = [json.dumps(json.loads(text)).encode() for text in tokenizers]
    targets.append(Target("tokenizer.json", tokenizers, parse_tokenizer))
    return targets


def _text_targets(place: Path) -> list[Target]:
    text, cache = place / "text.txt", place / "cache"
    model = random_model(1)
    (place / "whole.txt").write_text(TEXT)

    def read_text(data: bytes) -> object:
        text.write_bytes(data)
        return sum(map(len, read_pieces([text])))

    def read_cache(data: bytes, suffix: str) -> object:
        entry = next(cache.glob(f"*{suffix}"))
        entry.write_bytes(data)
        corpus = build_corpus([place / "whole.txt"], model.tokenizer, cache=cache)
        assert np.array_equal(corpus.ids, ids), "damaged ids were believed"
        return corpus

    ids = build_corpus([place / "whole.txt"], model.tokenizer, cache=cache).ids.copy()

    def read_index(data: bytes) -> object:
        next(cache.glob("*.bits")).write_bytes(data)
        index = index_states(model.model, model.tokenizer, [place / "whole.txt"], cache=cache)
        assert np.array_equal(index.bits, bits), "damaged bits were believed"
        return index

    index = index_states(model.model, model.tokenizer, [place / "whole.txt"], cache=cache)
    bits = index.bits.copy()
    texts = [TEXT.encode(), TEXT.encode("utf-16"), TEXT.encode("cp1252", "replace")]
    return [
        Target("text", texts, read_text),
        *(
            Target(f"cache, {suffix}", [next(cache.glob(f"*{suffix}")).read_bytes()],
                   lambda data, suffix=suffix: read_cache(data, suffix))
            for suffix in (".ids", ".json")
        ),
        Target("phrase index", [next(cache.glob("*.bits")).read_bytes()], read_index),
    ]  # fmt: skip


def _run_targets(place: Path) -> list[Target]:
    trace, checkpoint, recipe = (
        place / name for name in ("t.safetensors", "c.safetensors", "r.toml")
    )
    random_model(1).trace("w1x1 w1x2").save(trace)
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(5)}
    write_tensors(checkpoint, tensors, {"format": 1, "step": 3, "rows": []})
    spec = CheckpointSpec({name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()})

    def reader(path: Path, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def read_bytes(data: bytes) -> object:
            path.write_bytes(data)
            return read(path)

        return read_bytes

    return [
        Target("trace", [trace.read_bytes()], reader(trace, lambda path: Trace.load(path).belt())),
        Target("checkpoint", [checkpoint.read_bytes()],
               reader(checkpoint, lambda path: read_tensors(path, spec))),
        Target("recipe", [Settings().to_toml().encode()],
               reader(recipe, lambda path: Settings.merged(read_recipe(str(path))))),
    ]  # fmt: skip


def _foreign_targets(place: Path) -> list[Target]:
    path, vocabulary = place / "foreign.pt", place / "vocab.json"
    lines = place / "vocab.txt"
    torch.save({"rnn.weight_ih_l0": torch.ones(8, 3), "out.bias": torch.ones(4)}, path)

    def read_torch(data: bytes) -> object:
        path.write_bytes(data)
        return read_checkpoint(path)

    def read_vocab(data: bytes, file: Path) -> object:
        file.write_bytes(data)
        return read_vocabulary(file)

    tables = [["<unk>", "<eos>", "a", "b"], {"<unk>": 0, "<eos>": 1, "a": 2}]
    seeds = [json.dumps(table).encode() for table in tables]
    seeds += [train_tokenizer("words", [TEXT]).to_json().encode()]
    return [
        Target("PyTorch file", [path.read_bytes()], read_torch),
        Target("vocabulary, JSON", seeds, lambda data: read_vocab(data, vocabulary)),
        Target("vocabulary, lines", [b"<unk>\n<eos>\na\nb\n", b"<unk> 3\n<eos> 2\na 1\n"],
               lambda data: read_vocab(data, lines)),
    ]  # fmt: skip
