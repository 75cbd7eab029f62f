"""The benchmarks compare like with like: every peer predicts the same from the same weights."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from carousel.errors import CarouselError

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


def run(name, *arguments):
    command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_tokenizing_measures_every_kind_of_tokens(tmp_path):
    (tmp_path / "a.txt").write_text("krish likes pizza but he does not like burger\n" * 200)
    ran = run("tokenizing.py", tmp_path, "--megabytes", 1, "--turns", 1)
    assert ran.returncode == 0, ran.stderr
    table = [row for row in ran.stdout.splitlines() if row.startswith("|")]
    assert [row.split("|")[1].strip() for row in table[2:]] == [
        "words", "whitespace", "chars", "bpe",
    ]  # fmt: skip
    for row in table[2:]:
        assert all(float(cell.split()[0]) > 0 for cell in row.split("|")[2:-1])


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("tokenizing.py", ["nowhere"]),
        ("train.py", ["--text=nowhere", "--valid=x"]),
        ("score.py", ["stories-lstm", "nowhere"]),
    ],
)
def test_a_text_that_is_not_there_is_told_of_in_a_line(name, flags):
    ran = run(name, *flags)
    assert ran.returncode == 2
    assert "nowhere is not there" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr


def test_scoring_compares_the_same_scores(tmp_path, make_model):
    """Every peer that is there gives the same mean; KenLM's is that of a bigram by hand."""
    make_model(layers=2, tied=True).save(tmp_path / "model")
    (tmp_path / "a.txt").write_text("the cat likes pizza\nso xyzzy\n" * 50)
    (tmp_path / "a.arpa").write_text(
        "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-1.0\t<unk>\n0\t<s>\t0\n-0.5\t</s>\n"
        "-0.7\tthe\t0\n\n\\2-grams:\n-0.2\t<s> the\n\n\\end\\\n"
    )
    flags = ["--megabytes", 0.00145, "--arpa", tmp_path / "a.arpa"]
    ran = run("score.py", tmp_path / "model", tmp_path / "a.txt", *flags)
    assert ran.returncode == 0, ran.stderr
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in ran.stdout.splitlines() if line.startswith("| "))
    }
    ours, theirs = rows["carousel score"], rows["PyTorch nn.LSTM"]
    assert float(ours[3]) == pytest.approx(float(theirs[3]), abs=1e-3)
    assert all(float(row[2].replace(",", "")) > 10 for row in (ours, theirs))
    if shutil.which("query"):
        # Eight words: "the" at a line's start, five unknown, two line ends.
        expected = np.log(10) * (0.2 + 5 * 1.0 + 2 * 0.5) / 8
        assert float(rows["KenLM query"][3]) == pytest.approx(expected, abs=1e-3)
    else:
        assert "KenLM query: no lmplz, build_binary and query in the PATH" in rows


@pytest.fixture
def trials(monkeypatch):
    """A function that imports a trial of reliability.py."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield lambda name: importlib.import_module(f"trials.{name}")
    for name in [name for name in sys.modules if name.split(".")[0] == "trials"]:
        del sys.modules[name]


@pytest.mark.slow
def test_reliability_prints_its_counts():
    ran = run("reliability.py", "power", "bad_files", "numbers", "--seconds", 4)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if line.endswith(" failed")][:-1] == [
        "power", "bad_files", "numbers",
    ]  # fmt: skip
    assert re.fullmatch(r"[\d,]+ tried, 0 failed", lines[-1])


@pytest.mark.parametrize("forgotten", ["sync_folder", "write_synced"])
def test_a_power_cut_finds_a_writer_that_does_not_sync(trials, tmp_path, monkeypatch, forgotten):
    power, tally = trials("power"), trials("tally")
    for module in ("atomic", "model_folder"):
        without = {
            "sync_folder": lambda path: None,
            "write_synced": lambda path, data: path.write_bytes(
                data.encode() if isinstance(data, str) else data
            ),
        }[forgotten]
        monkeypatch.setattr(f"carousel.storage.{module}.{forgotten}", without)
    counts = tally.Tally("power")
    budget = tally.Budget(2, 0, tmp_path)
    power.replay(tmp_path, budget, counts, power.replaced_model, 2)
    assert counts.failures


def test_bad_files_tells_every_other_error_than_carousel_s(trials):
    bad_files = trials("bad_files")

    def ending(error):
        def read(data):
            raise error

        return bad_files.Target("name", [b""], read)

    assert bad_files.try_input(ending(CarouselError("one line")), b"") is None
    for error in (CarouselError("two\nlines"), CarouselError(""), KeyError("a"), MemoryError(),
                  RecursionError(), type("PanicException", (BaseException,), {})("x")):  # fmt: skip
        assert bad_files.try_input(ending(error), b"") is not None
