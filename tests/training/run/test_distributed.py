"""Two real processes, started by PyTorch's own launcher, against one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from carousel.training.data.streams import Streams
from carousel.training.run.checkpoint import FileStore, find_checkpoints
from carousel.training.run.distributed import ProcessGroup, SingleProcess, is_main_process
from two_processes import train

HERE = Path(__file__).parents[2]
TEXT = "the cat sat on the mat and the dog ran to the cat .\n" * 60


def launch(*arguments, folder, processes=2):
    """Run a program in processes of one thread each; a free port is chosen by the launcher."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CAROUSEL_CACHE": str(folder / "cache"),
    }
    return subprocess.run(
        [sys.executable, *torchrun, *map(str, arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for name in ("one", "two", "alone"):
        (folder / name).mkdir()
    _, stopped = train(SingleProcess(), store=FileStore(folder / "alone", print), stop_at=2)
    assert stopped.stop_reason == "interrupted"
    done = launch(HERE / "two_processes.py", folder, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder


def same(a, b):
    assert a.keys() == b.keys()
    for name, weight in a.items():
        np.testing.assert_array_equal(weight, b[name], err_msg=name)


def close(a, b):
    for name, weight in a.items():
        np.testing.assert_allclose(weight, b[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", ["plain", "dropout", "resumed", "grown"])
@pytest.mark.slow
def test_both_end_with_the_same_weights(folder, name):
    same(*(load_file(folder / f"{name}-{rank}.safetensors") for rank in range(2)))


@pytest.mark.slow
def test_two_are_one_to_rounding(folder):
    close(train(SingleProcess())[0], load_file(folder / "plain-0.safetensors"))


@pytest.mark.parametrize("again", ["dropout_again", "resumed"])
@pytest.mark.slow
def test_the_same_number_gives_the_same_bits(folder, again):
    """Also where the run was stopped in its middle, and with dropout."""
    first, second = (load_file(folder / f"{name}-0.safetensors") for name in ("dropout", again))
    same(first, second)


@pytest.mark.slow
def test_three_processes_give_the_same_bits_too(tmp_path):
    """Where the order of a sum matters."""
    for name in ("one", "two", "alone"):
        (tmp_path / name).mkdir()
    done = launch(HERE / "two_processes.py", tmp_path, folder=tmp_path, processes=3)
    assert done.returncode == 0, done.stderr
    first = load_file(tmp_path / "dropout-0.safetensors")
    for name in ("dropout-2", "dropout_again-1", "resumed-0"):
        same(first, load_file(tmp_path / f"{name}.safetensors"))


@pytest.mark.slow
def test_dropout_is_of_each_process_s_own(folder):
    plain, dropped = (load_file(folder / f"{n}-0.safetensors") for n in ("plain", "dropout"))
    assert not np.allclose(plain["embedding.weight"], dropped["embedding.weight"])


@pytest.mark.slow
def test_another_number_goes_on(folder):
    plain = load_file(folder / "plain-0.safetensors")
    close(plain, load_file(folder / "grown-0.safetensors"))
    assert find_checkpoints(folder / "one")
    close(plain, train(SingleProcess(), store=FileStore(folder / "one", print))[0])


@pytest.mark.slow
def test_one_writes_and_speaks(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    sizes = ["--hidden-size", 6, "--embedding-size", 4, "--epochs", 2, "--device", "cpu"]
    small = ["--set", "batch=3", "--set", "bptt=10"]
    done = launch(
        "-m", "carousel", "train", "t.txt", "--out", "model", *sizes, *small, folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for line in ("parameters", "Done: ", "Saved in model"):
        assert done.stdout.count(line) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "model", "t.txt"]


@pytest.mark.slow
def test_an_error_is_one_line(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT)
    few = ["--set", "batch=1", "--device", "cpu"]
    done = launch("-m", "carousel", "train", "t.txt", "--out", "model", *few, folder=tmp_path)
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("carousel: ")]
    assert lines == [
        "carousel: a batch of 1 streams can't be shared out to 2 processes: start fewer, or give "
        "a larger batch_size"
    ]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("size", "count"), [(2, 5), (3, 3), (4, 10), (3, 1)])
def test_shards_are_even_and_whole(size, count):
    shards = [ProcessGroup(rank, size, rank).shard(count) for rank in range(size)]
    assert [i for shard in shards for i in range(count)[shard]] == list(range(count))
    widths = [shard.stop - shard.start for shard in shards]
    assert max(widths) - min(widths) <= 1


def test_streams_of_a_shard_are_those_of_the_whole():
    ids = np.arange(53)
    whole = list(Streams(ids, 5).batches(4))
    for shard in (slice(0, 3), slice(3, 5)):
        part = Streams(ids, 5, shard)
        for (x, y), (mine_x, mine_y) in zip(whole, part.batches(4), strict=True):
            assert torch.equal(x[:, shard], mine_x)
            assert torch.equal(y[:, shard], mine_y)


def test_a_single_process_is_the_main_one():
    assert is_main_process()
