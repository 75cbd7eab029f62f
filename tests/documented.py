"""The commands that README and docs show, and a folder with what they name, in which they run."""

import gzip
import io
import json
import re
import shlex
import zipfile

import h5py
import numpy as np
from safetensors.numpy import save_file

from carousel.cli import run
from carousel.study.stories import tell_stories

NOTES = 'see you tomorrow at the station\n"Yes," he said.\nsee you soon tom\n' * 30 + "".join(
    story.text + "\n" for story in tell_stories(100)
)
TEXTS = (
    "last-lines.txt", "melville.txt", "more.txt",
    "notes.txt", "other-notes.txt", "stories.txt", "other-stories.txt", "questions.txt",
    "book.txt", "text.txt", "train.txt", "valid.txt",
    "war-and-peace.txt", "books/one.txt", "wikitext-2/train.txt", "wikitext-2/valid.txt",
    "self-dialogue/valid.txt", "small.txt",
)  # fmt: skip
MODELS = ("notes", "stories", "book", "dialogue", "war", "melville", "medium")
SMALL = "--hidden-size 12 --embedding-size 12 --epochs 1 --batch-size 4 --bptt 8"
LONG = ("page", "demo", "study", "serve")
"""Commands that take minutes, or run until Ctrl-C: their names and flags are checked alone."""


def commands(text):
    """Every command that a page shows in a code block, on one line."""
    for block in re.findall(r"```\w*\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"(?:\$ )?((?:zcat \S+ \| )?carousel .*)", line)
            if found:
                yield " ".join(found[1].split())


def prepare(folder):
    """Write the texts, models and checkpoints that the pages' commands name."""
    for name in TEXTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(NOTES)
    (folder / "log.gz").write_bytes(gzip.compress(NOTES.encode()))
    for name in MODELS:
        words = f"train {folder}/notes.txt --out {folder}/models/{name} {SMALL}"
        assert run(words.split()) == 0
    vocab = ["<unk>", "<eos>", *["see", "you", "tomorrow", "at", "the", "station", "soon", "tom"]]
    (folder / "vocab.txt").write_text("\n".join(vocab))
    (folder / "vocab.json").write_text(str(vocab).replace("'", '"'))
    rng = np.random.default_rng(0)
    shapes = {
        "encoder.weight": (len(vocab), 3), "rnn.weight_ih_l0": (20, 3),
        "rnn.weight_hh_l0": (20, 5), "decoder.weight": (len(vocab), 5),
    }  # fmt: skip
    weights = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors")
    import torch

    torch.save({name: torch.from_numpy(w) for name, w in weights.items()}, folder / "model.pt")
    write_keras_model(folder / "model.keras", len(vocab) + 1)
    index = {word: id for id, word in enumerate(["<OOV>", *vocab[2:], "soup"], start=1)}
    config = {"word_index": json.dumps(index), "oov_token": "<OOV>", "filters": ".,!"}
    (folder / "tokenizer.json").write_text(json.dumps({"config": config}))
    assert run(f"export onnx {folder}/models/notes --out {folder}/model.onnx".split()) == 0
    for_transformers = f"export transformers {folder}/models/notes --out".split()
    assert run([*for_transformers, f"{folder}/models/notes-transformers"]) == 0
    theirs = f"import pytorch {folder}/model.pt --vocab {folder}/vocab.txt --out"
    assert run([*theirs.split(), f"{folder}/models/theirs"]) == 0


def write_keras_model(path, rows):
    """A ``.keras`` file of an Embedding, an LSTM and a Dense layer, as Keras saves it."""
    layers = [("Embedding", "embeddings", {}), ("LSTM", "lstm", {}),
              ("Dense", "dense", {"activation": "softmax"})]  # fmt: skip
    listed = [{"class_name": kind, "config": {"name": name, **more}} for kind, name, more in layers]
    shapes = {
        "embedding/vars/0": (rows, 3), "dense/vars/0": (5, rows), "dense/vars/1": (rows,),
        "lstm/cell/vars/0": (3, 20), "lstm/cell/vars/1": (5, 20), "lstm/cell/vars/2": (20,),
    }  # fmt: skip
    rng, weights = np.random.default_rng(0), io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_group("layers/lstm/vars")
        for name, shape in shapes.items():
            file[f"layers/{name}"] = rng.normal(size=shape).astype(np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        model = {"class_name": "Sequential", "config": {"layers": listed}}
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", weights.getvalue())


def arguments_of(line):
    """A command's arguments without ``carousel``, and the file that is piped into it or None."""
    piped = re.match(r"zcat (\S+) \| ", line)
    words = shlex.split(line[piped.end() :] if piped else line)
    return words[1:], piped[1] if piped else None


def shortened(arguments):
    """A command as it is shown, for models that are trained for a moment only."""
    if arguments[0] == "phrases":  # a model that was trained for a moment has no strong units
        return [*(a for a in arguments if a != "--off-before"), "--threshold", "0.001"]
    if arguments[0] != "train":
        return arguments
    timed = any(argument.startswith("--max-minutes") for argument in arguments)
    return [*arguments, *(["--max-minutes", "0.01"] if timed else ["--epochs", "0.2"])]
