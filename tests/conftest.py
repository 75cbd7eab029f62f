"""What tests share: small models made by hand, and the folder of real texts."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from carousel.inference.model import RecurrentLM
from carousel.model import LanguageModel
from carousel.storage.config import Config
from carousel.text.vocabulary import train_tokenizer

# A busy machine is no failure: no test is judged by its time.
settings.register_profile("carousel", deadline=None)
settings.load_profile("carousel")

WORDS = "the cat sat on a mat and dog ran to pizza pie pita burger he she likes orders so but"


def pytest_configure():
    """Ctrl-C works in tests and in the processes that they start, also from a background job."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Tests neither read nor fill the user's cache."""
    os.environ["CAROUSEL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data():
    """The folder of real corpora; a test that wants it skips where it is absent."""
    folder = Path(os.environ.get("CAROUSEL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no corpora in {folder}; CAROUSEL_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def make_model():
    """A function that makes a random model of a cell over a text's tokens."""

    def make(
        cell="lstm",
        kind="words",
        text=WORDS,
        seed=0,
        scale=0.7,
        tied=False,
        backend="auto",
        **sizes,
    ):
        tokenizer = train_tokenizer(kind, text.splitlines(), vocab_size=sizes.pop("vocab", None))
        sizes = {"embedding_size": 5, "hidden_size": 6, "layers": 1} | sizes
        if tied and sizes["embedding_size"] != sizes["hidden_size"]:
            sizes["projection_size"] = sizes["embedding_size"]
        config = Config(cell=cell, vocab_size=tokenizer.vocab_size, tied=tied, **sizes)
        rng = np.random.default_rng(seed)
        weights = {
            name: rng.normal(scale=scale, size=shape).astype(np.float32)
            for name, shape in config.weight_shapes().items()
        }
        return LanguageModel(RecurrentLM(config, weights, backend=backend), tokenizer)

    return make
