"""The demo, with little training: everything it promises is made and shown."""

import io
import json
import signal

import pytest
from rich.console import Console

from carousel.errors import CarouselError, FolderError
from carousel.model import LanguageModel
from carousel.study import story_training
from carousel.study.demo import SENTENCES, run_demo
from carousel.study.stories import KINDS, TESTED_GAPS

FAST = {"epochs": 0.02}


def run(out, **more):
    file = io.StringIO()
    result = run_demo(Console(file=file, width=80), out=out, **more)
    return result, file.getvalue()


def test_a_short_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(story_training, "STORIES", 6000)
    result, said = run(tmp_path / "demo", overrides=FAST)
    assert json.loads((tmp_path / "demo" / "demo.json").read_text()) == result
    sizes = list(result["parameters"].values())
    assert max(sizes) / min(sizes) < 1.05
    assert len(result["accuracy"]) == 3 * len(KINDS) * len(TESTED_GAPS)
    assert (tmp_path / "demo" / "accuracy-by-distance.png").stat().st_size > 10_000
    for cell in ("rnn", "gru", "lstm"):
        folder = tmp_path / "demo" / f"stories-{cell}"
        assert str(folder) in said
        assert LanguageModel.load(folder).config.cell == cell
        assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    for sentence in SENTENCES:
        assert sentence in " ".join(said.split())
    for kind in KINDS:
        assert kind in said
    assert "carousel predict" in said
    with pytest.raises(FolderError, match="--force"):
        run(tmp_path / "demo", overrides=FAST)


def test_what_a_worker_runs_into_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(story_training, "STORIES", 300)
    with pytest.raises(CarouselError, match=r"(rnn|gru|lstm): layers must be"):
        run(tmp_path / "demo", overrides={"layers": 0})


def test_a_system_that_ends_the_demo_ends_its_workers(tmp_path, monkeypatch):
    started = []

    def listen(messages, workers):
        started.extend(workers)
        signal.raise_signal(signal.SIGTERM)
        yield from ()

    monkeypatch.setattr(story_training, "_listen", listen)
    monkeypatch.setattr(story_training, "STORIES", 3)
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("by whoever listens here"))
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "demo")
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == []
    # They were about to load PyTorch: none of them had come to an end of its own.
    assert [worker.exitcode for worker in started] == [-signal.SIGTERM] * 3
