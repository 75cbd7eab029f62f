"""The benchmarks compare like with like: every peer predicts the same from the same weights."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
EXACT = ("Carousel float32", "PyTorch eager", "ONNX Runtime float32")


@pytest.fixture
def decoding(monkeypatch, tmp_path):
    """The benchmark's peers, and a tiny model of theirs in every number format."""
    monkeypatch.syspath_prepend(str(FOLDER))
    found = {name: importlib.import_module(f"decoding.{name}") for name in ("models", "peers")}
    monkeypatch.setitem(found["models"].MODELS, "tiny", (6, 8, 2, 300))
    folders = found["models"].write_models("tiny", tmp_path)
    found["peers"].write_onnx(folders["float32"])
    yield found["peers"], folders
    for name in [name for name in sys.modules if name.startswith("decoding")]:
        del sys.modules[name]


def test_all_peers_predict_the_same(decoding):
    peers, folders = decoding
    found = {}
    for name, (peer, dtype) in peers.PEERS.items():
        if not name.startswith("read"):
            at_work = peer(folders[dtype], 1)
            found[name] = [at_work.plain(at_work.step(token)) for token in (3, 1, 299, 7)]
    for name, steps in found.items():
        for (ids, log_probs), (wanted_ids, wanted) in zip(steps, found[EXACT[1]], strict=True):
            if name in EXACT:
                np.testing.assert_array_equal(ids, wanted_ids)
            np.testing.assert_allclose(log_probs, wanted, atol=1e-5 if name in EXACT else 0.1)


def test_texts_are_scored_the_same(decoding):
    peers, folders = decoding
    ids = np.random.default_rng(0).integers(0, 300, 300)
    ours, theirs = (peers.PEERS[name][0](folders["float32"], 1).score(ids) for name in EXACT[:2])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
