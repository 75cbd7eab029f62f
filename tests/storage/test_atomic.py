"""Files that are written whole or not at all, whatever stands in their place."""

import os

import pytest

from carousel.errors import FolderError
from carousel.storage.atomic import write_file


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "kept").mkdir()
    file, link = tmp_path / "kept" / "notes.json", tmp_path / "link.json"
    file.write_text("old", "utf-8")
    link.symlink_to(file)
    write_file(link, "new")
    assert link.is_symlink()
    assert file.read_text("utf-8") == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept", "link.json", "notes.json"]


def test_a_link_to_nothing_makes_its_file(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "later.json")
    write_file(tmp_path / "link.json", "new")
    assert (tmp_path / "later.json").read_text("utf-8") == "new"


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a pipe"])
def test_what_is_no_file_is_kept(tmp_path, kind):
    place = pipe = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    else:
        if kind == "link to a pipe":
            place = tmp_path / "link"
            place.symlink_to(pipe)
        os.mkfifo(pipe)
    before = place.lstat().st_ino, sorted(tmp_path.iterdir())
    with pytest.raises(FolderError, match="can't be written: what is there is not a file"):
        write_file(place, "new")
    assert (place.lstat().st_ino, sorted(tmp_path.iterdir())) == before
