"""Only regular files are read: a pipe is not waited for, and a device is not read without end."""

import os

import pytest

from carousel.errors import FolderError, SettingsError
from carousel.lens.trace import Trace
from carousel.model import LanguageModel
from carousel.storage.regular_file import check_regular, open_regular, read_all, read_text
from carousel.training.run.checkpoint import CheckpointSpec, read_tensors
from carousel.training.settings import read_recipe

FILES = ("config.json", "model.safetensors", "tokenizer.json")
SPECIAL = {
    "pipe": os.mkfifo if hasattr(os, "mkfifo") else None,
    "zeros": lambda path: os.symlink("/dev/zero", path),
    "folder": os.mkdir,
}

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_model_folder_with_a_special_file(tmp_path, make_model, name, kind):
    path = tmp_path / "m"
    make_model().save(path)
    (path / name).unlink()
    SPECIAL[kind](path / name)
    with pytest.raises(FolderError, match=rf"{name} can't be read: it is not a regular file"):
        LanguageModel.load(path)


@pytest.mark.parametrize("kind", SPECIAL)
def test_other_files_that_are_special(tmp_path, kind):
    path = tmp_path / "special.toml"
    SPECIAL[kind](path)
    for read in (
        Trace.load,
        lambda path: read_tensors(path, CheckpointSpec({})),
        lambda path: read_recipe(str(path)),
        lambda path: read_text(path, 10),
    ):
        with pytest.raises((FolderError, SettingsError), match="not a regular file"):
            read(path)
    for check in (open_regular, check_regular):
        with pytest.raises(OSError, match="not a regular file"):
            check(path)


def test_links_to_regular_files_are_followed(tmp_path, make_model):
    path = tmp_path / "m"
    make_model().save(path)
    for name in FILES:
        os.rename(path / name, tmp_path / name)
        os.symlink(tmp_path / name, path / name)
    assert LanguageModel.load(path).config == make_model().config


def test_sizes_come_first(tmp_path):
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, 2**40)  # sparse: it takes no place
    with open_regular(path) as file, pytest.raises(FolderError, match="too large"):
        read_all(file, str(path), 2**26)
    path = tmp_path / "growing"
    path.write_text("text")
    with open_regular(path) as file:
        real, size = os.fstat, 3

        class Status:
            st_size = size

        os.fstat = lambda handle: Status
        try:
            with pytest.raises(FolderError, match="changes while it is read"):
                read_all(file, str(path), 10)
        finally:
            os.fstat = real


def test_a_tokenizer_that_is_too_large_is_refused_before_it_is_read(tmp_path, make_model):
    path = tmp_path / "m"
    make_model().save(path)
    os.truncate(path / "tokenizer.json", 195_000_000)
    with pytest.raises(FolderError, match="too large to be true"):
        LanguageModel.load(path)
