"""What the cache holds is listed and deleted; files that are not its own stay."""

import pytest

from carousel.errors import TextError
from carousel.text.cache import clear_cache, list_cache
from carousel.text.corpus import build_corpus
from carousel.text.vocabulary import train_tokenizer


@pytest.fixture
def folder(tmp_path):
    text = tmp_path / "text.txt"
    cache = tmp_path / "cache"
    for content in ("the cat sat\n", "the dog ran\n"):
        text.write_text(content)
        build_corpus([text], train_tokenizer("words", [content]), cache=cache)
    (cache / "README").write_text("mine")
    return cache


def test_every_text_is_one_entry(folder):
    entries = list_cache(folder)
    assert len(entries) == 2
    on_disk = sum(path.stat().st_size for path in folder.iterdir() if path.name != "README")
    assert sum(entry.bytes for entry in entries) == on_disk


def test_clearing_deletes_entries_alone(folder):
    listed = list_cache(folder)
    assert clear_cache(folder) == listed
    assert [path.name for path in folder.iterdir()] == ["README"]
    assert clear_cache(folder) == []


def test_no_folder_is_an_empty_cache(tmp_path):
    assert list_cache(tmp_path / "none") == []
    assert clear_cache(tmp_path / "none") == []


def test_what_can_not_be_deleted_is_named(folder, monkeypatch):
    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(TextError, match="can't be deleted: Permission denied"):
        clear_cache(folder)
