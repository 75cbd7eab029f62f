"""A folder that is replaced while it is opened is read as one or as the other, never mixed."""

import os
import shutil
import threading

import pytest

from carousel.errors import FolderError
from carousel.storage import atomic
from carousel.storage.directory import Directory, read_directory
from carousel.storage.model_folder import read_folder, write_folder

OPENINGS = 60


@pytest.fixture
def two_models(make_model):
    """Two models of one shape, told apart by their words and by their weights."""
    return [
        make_model(text=" ".join(f"{letter}{n}" for n in range(9)), seed=seed)
        for seed, letter in enumerate("ab")
    ]


def who(folder):
    """Which of the two models a folder's words are of, and which its weights."""
    word = folder.tokenizer.tokens()[2][0]
    return word, float(folder.weights["decoder.bias"][0])


@pytest.mark.parametrize("in_one_step", [True, False], ids=["exchange", "two renames"])
def test_opened_while_it_is_replaced(tmp_path, two_models, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(atomic, "exchange_folders", lambda one, other: False)
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # many replacements in a short time
    path = tmp_path / "m"

    def write(model):
        write_folder(path, model.config, model.model.weights, model.tokenizer, force=True)

    write(two_models[0])
    whole = {who(read_folder(path))}
    write(two_models[1])
    whole.add(who(read_folder(path)))
    assert len(whole) == 2
    done = threading.Event()

    def replace():
        while not done.is_set():
            for model in two_models:
                write(model)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        seen = {who(read_folder(path)) for _ in range(OPENINGS)}
    finally:
        done.set()
        thread.join()
    assert seen <= whole


def test_files_of_two_models_are_refused(tmp_path, two_models):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, model in zip(paths, two_models, strict=True):
        model.save(path)
    for name in ("tokenizer.json", "model.safetensors", "config.json"):
        mixed = tmp_path / name
        shutil.copytree(paths[0], mixed)
        shutil.copy(paths[1] / name, mixed / name)
        with pytest.raises(FolderError, match="is not the one that"):
            read_folder(mixed)


def test_the_files_are_those_of_the_folder_that_was_opened(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    directory = Directory(tmp_path / "old")
    assert not directory.was_replaced()
    os.rename(tmp_path / "old", tmp_path / "gone")
    assert directory.was_replaced()
    os.rename(tmp_path / "new", tmp_path / "old")
    assert directory.was_replaced()
    with directory.open_file("file") as file:
        assert file.read() == b"old"
    directory.close()


def test_a_folder_that_loses_its_files_is_read_anew(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    (path / "file").write_text("old")
    handles = []

    def read(directory):
        handles.append(directory.handle)
        if len(handles) == 1:  # another process replaces it, and removes the old one
            os.rename(path, tmp_path / "gone")
            shutil.rmtree(tmp_path / "gone")
            path.mkdir()
            (path / "file").write_text("new")
        try:
            with directory.open_file("file") as file:
                return file.read()
        except FileNotFoundError:
            raise FolderError("file is missing") from None

    assert read_directory(path, read) == b"new"
    for handle in set(handles):
        with pytest.raises(OSError):
            os.fstat(handle)


def test_a_fault_of_a_folder_that_stays_is_told_at_once(tmp_path):
    calls = []

    def read(directory):
        calls.append(directory)
        raise FolderError("damaged")

    with pytest.raises(FolderError, match="damaged"):
        read_directory(tmp_path, read)
    assert len(calls) == 1
    with pytest.raises(FolderError, match="is not there"):
        read_directory(tmp_path / "none", read)
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match="is a file"):
        read_directory(tmp_path / "file", read)
