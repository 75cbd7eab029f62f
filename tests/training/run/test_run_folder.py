"""A run's folder: one process's alone, checked before it is believed, gone when all is done."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from carousel.errors import CarouselError, FolderError
from carousel.text.vocabulary import train_tokenizer
from carousel.training.data.splits import CachedIds, Sources
from carousel.training.run.checkpoint import Checkpoint, FileStore
from carousel.training.run.run_folder import RunFolder, RunRecord
from carousel.training.settings import Settings

TOKENIZER = train_tokenizer("words", ["a b c"])
HOLD = """
import fcntl, sys
file = open(sys.argv[1], "wb")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "m")


@pytest.fixture
def record(tmp_path):
    kept = CachedIds(str(tmp_path / "ids"), "<u2", 12, "00")
    sources = Sources((tmp_path / "a.txt", tmp_path / "b \udcff.txt"), (tmp_path / "v.txt",))
    return RunRecord(Settings(layers=2), sources, {"train": kept, "valid": kept}, True, False)


def save(run, step=3):
    FileStore(run.path, print).save(Checkpoint({"a": torch.zeros(2)}, {"step": step}))


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_a_run_was_started_with_is_read_back(run, record):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    actual, tokenizer = run.read()
    assert actual == record
    assert tokenizer.to_json() == TOKENIZER.to_json()
    run.check_resumable()


def test_a_run_without_a_checkpoint_leaves_nothing(run, record, tmp_path):
    def interrupted():
        with run:
            run.begin(record, TOKENIZER)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["m", "sub/m", "m.n", "a b", ".", "sub/.."])
def test_it_lies_beside_the_model(tmp_path, monkeypatch, name):
    (tmp_path / "here" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    beside = {".": tmp_path / "here.run", "sub/..": tmp_path / "here.run"}
    wanted = beside.get(name, tmp_path / "here" / f"{name}.run")
    assert RunFolder(Path(name)).path.absolute() == wanted


def test_the_root_of_all_has_no_place_beside_it():
    with pytest.raises(FolderError, match="/ can't be a model folder"):
        RunFolder(Path("/"))


def test_another_process_keeps_this_one_out_until_it_is_dead(run, record, tmp_path):
    pytest.importorskip("fcntl")
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    before = names(run.path)
    command = [sys.executable, "-S", "-c", HOLD, str(run.path / "lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        # What it is still writing is not taken away from it either.
        (run.path / ".step-5.part").touch()
        with pytest.raises(FolderError, match=r"m is being trained by another process"), run:
            raise AssertionError("let in")
        assert names(run.path) == before | {".step-5.part"}
    finally:
        other.kill()
        other.communicate()
    with run:
        assert names(run.path) == before


def test_one_process_does_not_train_the_same_folder_twice(run, record):
    pytest.importorskip("fcntl")
    with run:
        run.begin(record, TOKENIZER)
        with pytest.raises(FolderError, match="another process"), RunFolder(run.model):
            raise AssertionError("let in")
        assert (run.path / "run.json").exists()
        save(run)
    with RunFolder(run.model):
        pass


def test_what_killed_processes_left_is_cleared_and_nothing_else(run, record, tmp_path):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    left = [
        ".m.0123456789abcdef.part",
        ".m.fedcba9876543210.part",
        ".m.run.123.gone",
        "m.run/.run.json.7.part",
    ]
    others = [".m.notes", ".n.run.123.gone", ".m.run.keep"]
    for name in [*left, *others]:
        path = tmp_path / name
        path.write_text("") if ".json" in name else path.mkdir()
    with run:
        pass
    assert names(tmp_path) == {"m.run", *others}
    assert not any(name.startswith(".") for name in names(run.path))


def test_free_is_where_nothing_can_go_on(run, record):
    run.check_free(force=False)
    run.path.mkdir()
    run.check_free(force=False)
    # Killed while it was being begun, at each of its files.
    for name in ("lock", ".tokenizer.json.71.part", "tokenizer.json", ".run.json.71.part"):
        (run.path / name).touch()
        run.check_free(force=False)
    run.begin(record, TOKENIZER)
    run.check_free(force=False)


def test_a_run_that_can_go_on_is_not_begun_anew_without_force(run, record):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    with pytest.raises(
        FolderError, match=r"m has a run that can go on: use --resume .*, or --force"
    ):
        run.check_free(force=False)
    run.check_free(force=True)
    with run:
        FileStore(run.path, print).save_best({"a": torch.zeros(2)})
        run.begin(record, TOKENIZER)
        assert names(run.path) == {"lock", "run.json", "tokenizer.json"}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("what", ["a file", "a folder with a file", "a hidden file"])
def test_what_is_no_run_is_never_touched(run, what, force):
    if what == "a file":
        run.path.touch()
    else:
        run.path.mkdir()
        (run.path / (".thesis" if "hidden" in what else "thesis.txt")).touch()
    with pytest.raises(FolderError, match=r"m\.run exists and is not a run's folder"):
        run.check_free(force=force)


def test_what_can_not_be_resumed_says_why(run, record, tmp_path):
    with pytest.raises(FolderError, match="m is not there: no such model folder, and no run"):
        run.check_resumable()
    run.model.mkdir()
    with pytest.raises(FolderError, match="m has no checkpoints"):
        run.check_resumable()
    (run.model / "metrics.jsonl").touch()
    with pytest.raises(FolderError, match=r"the run of .*m has finished"):
        run.check_resumable()
    run.path.mkdir()
    with pytest.raises(FolderError, match="m has no checkpoints"):
        run.check_resumable()
    run.path.rmdir()
    run.path.touch()
    with pytest.raises(FolderError, match="m has no checkpoints"):
        run.check_resumable()


DAMAGE = {
    "format": lambda t: t.update(format=2),
    "no format": lambda t: t.pop("format"),
    "no settings": lambda t: t.pop("settings"),
    "settings of another kind": lambda t: t.update(settings=3),
    "a setting that can't be": lambda t: t["settings"].update(layers=-1),
    "an unknown setting": lambda t: t["settings"].update(layres=1),
    "no sources": lambda t: t.pop("sources"),
    "sources of another kind": lambda t: t.update(sources=[1]),
    "no training files": lambda t: (t["sources"].update(train=[]), t["kept"].pop("train")),
    "files that are no list": lambda t: t["sources"].update(train="ab"),
    "a file that is no text": lambda t: t["sources"].update(train=[3]),
    "unknown error handling": lambda t: t["sources"].update(encoding_errors="pray"),
    "a text that was not kept": lambda t: t["kept"].pop("valid"),
    "a text of no files": lambda t: t["kept"].update(test=t["kept"]["train"]),
    "no count": lambda t: t["kept"]["train"].pop("tokens"),
    "a count that is no number": lambda t: t["kept"]["train"].update(tokens="12"),
    "a negative count": lambda t: t["kept"]["train"].update(tokens=-1),
    "a count beyond all": lambda t: t["kept"]["train"].update(tokens=10**30),
    "another type": lambda t: t["kept"]["train"].update(dtype="|O"),
    "a path that is a number": lambda t: t["kept"]["train"].update(path=0),
    "a digest that is none": lambda t: t["kept"]["train"].update(digest=None),
    "replaces is text": lambda t: t.update(replaces="no"),
    "no tensorboard": lambda t: t.pop("tensorboard"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_record_that_can_not_be_is_one_line(run, record, damage):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    path = run.path / "run.json"
    table = json.loads(path.read_text())
    del table["sha256"]  # as older runs, so that each value is looked at
    damage(table)
    path.write_text(json.dumps(table))
    with pytest.raises(CarouselError, match=r"run\.json") as told:
        run.read()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["run.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "data", [None, b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1, "format": 1}', b"[" * 10**5]
)
def test_a_damaged_file_is_one_line(run, record, name, data):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    if data is None:
        (run.path / name).unlink()
    else:
        (run.path / name).write_bytes(data)
    with pytest.raises(FolderError, match=name.replace(".", r"\.")) as told:
        run.read()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("run.json", '"layers": 2', '"layers": 3'), ("tokenizer.json", '"c"', '"k"')],
)
def test_a_file_that_is_not_what_was_written_is_not_believed(run, record, name, old, new):
    """Each is well formed; the error says what is left to do."""
    with run:
        run.begin(record, TOKENIZER)
        save(run)
    path = run.path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(FolderError, match=r"can't go on: begin anew with --force"):
        run.read()


def test_a_damaged_tokenizer_is_taken_from_the_model(run, record, make_model):
    model = make_model()
    with run:
        run.begin(record, model.tokenizer)
        save(run)
    model.save(run.model, force=True)
    (run.path / "tokenizer.json").unlink()
    assert run.read()[1].to_json() == model.tokenizer.to_json()
    make_model(text="another vocabulary").save(run.model, force=True)
    with pytest.raises(FolderError, match=r"the best model so far is in .*m; begin anew"):
        run.read()


def test_a_place_that_can_not_be_written_is_one_line(tmp_path, record):
    (tmp_path / "file").touch()
    with (
        pytest.raises(FolderError, match=r"m\.run can't be written"),
        RunFolder(tmp_path / "file/m"),
    ):
        raise AssertionError("let in")


def test_a_finished_run_is_gone(run, record, tmp_path):
    with run:
        run.begin(record, TOKENIZER)
        save(run)
        run.remove()
    assert names(tmp_path) == set()
