"""The first inputs of the fuzzer: small models of every cell, number format and decoder.

Usage: python tests/cpp/fuzz_seeds.py FOLDER
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from carousel.cells import CELLS
from carousel.storage.config import Config
from carousel.storage.model_folder import write_folder
from carousel.storage.number_formats import DTYPES, cast_weights
from carousel.text.vocabulary import train_tokenizer

SEPARATOR = b"\n--8<--\n"
"""Between the files of an input, as in cpp/tests/fuzz_folder.cpp."""
FILES = ("config.json", "tokenizer.json", "model.safetensors")
DECODERS = (
    {"tied": False},
    {"tied": True},
    {"tied": False, "projection_size": 2, "biases": False},
    {"tied": False, "cutoffs": (3, 5), "tail_sizes": (2, 1)},
    {"tied": True, "cutoffs": (3,), "tail_sizes": (4,)},
)


def write_seeds(folder: Path) -> int:
    """Write one file for each model, and return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    kinds = ("words", "whitespace", "chars")
    count = 0
    for cell in CELLS:
        for dtype in DTYPES:
            for decoder in DECODERS:
                tokenizer = train_tokenizer(kinds[count % 3], ["the cat's \U0001f44d ate a pie"])
                config = Config(
                    cell, tokenizer.vocab_size, 4, 4, 1 + count % 2, dtype=dtype, **decoder
                )
                weights = {
                    name: rng.normal(size=shape).astype(np.float32)
                    for name, shape in config.weight_shapes().items()
                }
                with tempfile.TemporaryDirectory() as temporary:
                    model = Path(temporary) / "model"
                    write_folder(model, config, cast_weights(weights, dtype), tokenizer)
                    parts = [(model / name).read_bytes() for name in FILES]
                # Without the spaces of an indented file there is more to change in as many bytes.
                parts[:2] = [b" ".join(part.split()) for part in parts[:2]]
                (folder / f"seed-{count}").write_bytes(SEPARATOR.join(parts))
                count += 1
    return count


if __name__ == "__main__":
    print(f"{write_seeds(Path(sys.argv[1]))} seeds")
