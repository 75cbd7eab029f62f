"""Checkpoints on disk: what is whole comes back as it was, what is not is told of."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from carousel.errors import FolderError
from carousel.training.run.checkpoint import (
    Checkpoint,
    CheckpointSpec,
    FileStore,
    MemoryStore,
    find_checkpoints,
    remove_partial_files,
)

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3).T,
    "n": torch.tensor(5),
    "bytes": torch.tensor([1, 255], dtype=torch.uint8),
}
SPEC = CheckpointSpec(
    {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
)


def moment(step):
    return Checkpoint(
        {name: tensor + step for name, tensor in TENSORS.items()},
        {"step": step, "best": float("inf"), "loss": 0.1 + 0.2},
    )


@pytest.fixture
def files(tmp_path):
    lines = []
    store = FileStore(tmp_path, lines.append)
    store.lines = lines
    return store


def equal(actual, expected):
    assert actual.counters == expected.counters
    assert actual.tensors.keys() == expected.tensors.keys()
    return all(torch.equal(actual.tensors[name], part) for name, part in expected.tensors.items())


def test_the_last_two_stay_and_the_last_comes_back(files):
    assert files.load(SPEC) is None
    for step in (3, 20, 100):
        files.save(moment(step))
        assert equal(files.load(SPEC), moment(step))
    assert [path.stem[-3:] for path in find_checkpoints(files.folder)] == ["020", "100"]
    assert files.load_best(SPEC) is None
    files.save_best(moment(7).tensors)
    assert torch.equal(files.load_best(SPEC)["a"], moment(7).tensors["a"])


def test_memory_keeps_copies():
    store = MemoryStore()
    assert store.load(SPEC) is None
    given = moment(1)
    store.save(given)
    store.save_best(given.tensors)
    given.tensors["a"].zero_()
    store.load(SPEC).tensors["n"].zero_()
    assert equal(store.load(SPEC), moment(1))
    assert torch.equal(store.load_best(SPEC)["a"], moment(1).tensors["a"])


def rewrite(path, change=None, **counters):
    tensors = load_file(path)
    table = {"format": 1, **moment(100).counters, **counters}
    if change:
        change(tensors)
    save_file(tensors, path, {"carousel": json.dumps(table)})


def cut(size):
    def damage(path):
        path.write_bytes(path.read_bytes()[:size])

    return damage


def write_zeros(path):
    """What a disk may give back for a part of a file: the form is right, the numbers are not."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    data[8 + size :] = bytes(len(data) - 8 - size)
    path.write_bytes(data)


def change_counter(path):
    path.write_bytes(path.read_bytes().replace(b"0.30000000000000004", b"0.30000000000000005"))


DAMAGE = {
    "zeros": (write_zeros, "damaged: it is not what was written"),
    "a counter": (change_counter, "damaged: it is not what was written"),
    "nothing": (cut(0), "cut short"),
    "half a header": (cut(40), "cut short"),
    "all but a byte": (cut(-1), "cut short"),
    "no metadata": (lambda path: save_file(load_file(path), path), "is not JSON"),
    "format": (lambda path: rewrite(path, format=2), "of another format than 1"),
    "missing": (lambda path: rewrite(path, lambda t: t.pop("n")), "it lacks n"),
    "foreign": (lambda path: rewrite(path, lambda t: t.update(b=torch.ones(2))), "it holds b"),
    "shape": (lambda path: rewrite(path, lambda t: t.update(a=torch.ones(2))), r"a is F32 \[2\]"),
    "type": (lambda path: rewrite(path, lambda t: t.update(n=torch.tensor(1.0))), "n is F32"),
    "value": (lambda path: rewrite(path, lambda t: t["a"].fill_(torch.nan)), "not finite"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_one_is_told_of_and_the_one_before_is_used(files, damage, message):
    files.save(moment(99))
    files.save(moment(100))
    newest = find_checkpoints(files.folder)[-1]
    damage(newest)
    assert equal(files.load(SPEC), moment(99))
    (line,) = files.lines
    assert newest.name in line
    assert "the checkpoint before it is used" in line
    assert "\n" not in line
    # It is gone: what comes next would else be taken for older than it.
    assert not newest.exists()
    damage(find_checkpoints(files.folder)[0])
    with pytest.raises(FolderError, match=f"no checkpoint can be used: .*{message}"):
        files.load(SPEC)
    assert len(find_checkpoints(files.folder)) == 1


def test_older_checkpoints_without_a_hash_are_read(files):
    files.save(moment(100))
    rewrite(find_checkpoints(files.folder)[0])
    loaded = files.load(SPEC)
    assert loaded.counters == moment(100).counters


def test_damaged_best_weights_are_taken_from_the_model_folder(files):
    best = moment(7).tensors
    files.save_best(best)
    path = files.folder / "best.safetensors"
    for damage in (write_zeros, cut(50)):
        damage(path)
        files.read_model = None
        with pytest.raises(FolderError):
            files.load_best(SPEC)
        files.read_model = lambda spec: best
        assert torch.equal(files.load_best(SPEC)["a"], best["a"])
        assert "the weights of the model folder are used" in files.lines[-1]
        files.read_model = None
        assert torch.equal(files.load_best(SPEC)["a"], best["a"]), "it is written anew"


def test_counters_are_checked_by_the_run(files):
    def check(checkpoint):
        raise FolderError("rate can't be 'fast'")

    files.save(moment(1))
    with pytest.raises(FolderError, match=r"step-0+1\.safetensors: rate can't be 'fast'"):
        files.load(CheckpointSpec(SPEC.tensors, {}, check))


def test_a_full_disk_is_one_line_and_the_old_ones_stay(files, tmp_path):
    resource = pytest.importorskip("resource")
    files.save(moment(1))
    large = Checkpoint({"a": torch.zeros(50_000)}, {"step": 2})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        with pytest.raises(FolderError, match=r"step-0+2\.safetensors can't be written: File too"):
            files.save(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000001.safetensors"]
    (tmp_path / ".tmpXYZ").touch()
    remove_partial_files(tmp_path)
    assert equal(files.load(SPEC), moment(1))
    assert len(list(tmp_path.iterdir())) == 1
