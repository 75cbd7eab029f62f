"""Processes side by side: the same ids and counts as alone, and a clear end if one dies."""

import pytest

from carousel.errors import TextError
from carousel.text import corpus, workers
from carousel.text import files as files_module
from carousel.text.corpus import build_corpus
from carousel.text.tokenizer import train_tokenizer
from carousel.text.workers import Workers, count_workers
from odd_texts import TEXT

PIECES = [f"{number} {TEXT}" for number in range(5)]


@pytest.mark.parametrize("kind", ["words", "chars"])
def test_the_same_as_alone(kind, tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text("".join(PIECES).replace("\0", ""))
    tokenizer = train_tokenizer(kind, PIECES, min_count=2)
    assert train_tokenizer(kind, PIECES, min_count=2, workers=2).tokens() == tokenizer.tokens()
    alone = build_corpus([path], tokenizer, cache=tmp_path / "alone")
    monkeypatch.setattr(files_module, "CHUNK", 200)
    monkeypatch.setattr(corpus, "count_workers", lambda files, kind: 2)
    together = build_corpus([path], tokenizer, cache=tmp_path / "together")
    assert together.ids.tolist() == alone.ids.tolist() == tokenizer.encode(path.read_text())
    assert together.counts == alone.counts


def test_only_large_texts_take_more_than_one(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_text(TEXT)
    assert count_workers([path], "words") == 1
    monkeypatch.setattr(workers, "PARALLEL_FROM", 1)
    assert count_workers([path], "words") == len(workers.os.sched_getaffinity(0))
    assert count_workers([path], "chars") == 1


def test_one_that_dies_is_one_line():
    with Workers({"kind": "words", "lowercase": True}, 2) as processes:
        replies = processes.map(PIECES)
        next(replies)
        processes.processes[1].kill()
        with pytest.raises(TextError, match="died"):
            list(replies)
    assert all(process.returncode is not None for process in processes.processes)
