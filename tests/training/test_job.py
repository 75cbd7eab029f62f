"""A job from files to a model folder."""

import json
import tomllib
from itertools import permutations

import numpy as np
import pytest

import carousel
from carousel.errors import FolderError, SettingsError, TextError
from carousel.training.data.splits import MIN_TRAIN_TOKENS
from carousel.training.job import resume_training, train_model
from carousel.training.nn import architecture
from carousel.training.run.callbacks import Callback
from carousel.training.run.progress import Progress
from carousel.training.run.progress_reporter import NoProgress
from carousel.training.run.run_folder import RunFolder

LINES = "the cat sat on the mat\nthe dog ran to the cat\na cat likes the mat\n"
QUICK = {"hidden_size": 8, "embedding_size": 6, "epochs": 2.0, "batch_size": 2, "bptt": 8}
QUICK |= {"device": "cpu"}  # where a run that goes on ends as one that was not stopped, to the bit


class Listener(NoProgress):
    def __init__(self):
        self.lines = []

    def print(self, line):
        self.lines.append(line)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(LINES * 20)
    return path


def train(text, **more):
    settings = QUICK | more.pop("settings", {})
    return train_model([text], settings=settings, **more)


def test_a_folder_with_everything_in_it(text, tmp_path):
    out = tmp_path / "model"
    model = train(text, out=out)
    assert {path.name for path in out.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json", "recipe.toml", "metrics.jsonl",
        "learning-curve.png",
    }  # fmt: skip
    recipe = tomllib.loads((out / "recipe.toml").read_text())
    assert recipe["hidden_size"] == 8
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows.pop()["five_gram_perplexity"] > 1
    assert rows[-1]["epoch"] == 2
    assert rows[-1]["valid_perplexity"] == pytest.approx(np.exp(rows[-1]["valid_loss"]))
    assert (out / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert carousel.load(out).next_words("the", 2) == model.next_words("the", 2)


def test_the_saved_recipe_makes_the_same_model_again(text, tmp_path):
    first = train(text, out=tmp_path / "a", settings={"cell": "rnn", "dropout": 0.1})
    again = train_model([text], recipe=str(tmp_path / "a" / "recipe.toml"))
    for name, weight in first.model.weights.items():
        np.testing.assert_array_equal(weight, again.model.weights[name])


def test_five_lines_of_python(text, tmp_path):
    model = carousel.train(text, out=tmp_path / "m", **QUICK)
    assert len(model.next_words("the", k=3)) == 3


def test_callbacks_are_told_after_the_model_was_written(text, tmp_path):
    class Watcher(Callback):
        calls = []

        def on_train_begin(self, progress, rows):
            self.calls.append(("begin", (tmp_path / "m" / "config.json").exists()))

        def on_validation(self, progress, *, is_best):
            self.calls.append(("validation", len(rows_of(tmp_path / "m"))))

        def on_train_end(self, outcome):
            self.calls.append((outcome.stop_reason, len(outcome.rows)))

    train(text, out=tmp_path / "m", callbacks=[Watcher()])
    validations = len(Watcher.calls) - 2
    assert validations > 1
    assert Watcher.calls == [
        ("begin", True),
        *(("validation", n) for n in range(1, validations + 1)),
        ("finished", validations),
    ]


def test_the_held_out_end_does_not_decide_which_words_are_known(tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(LINES * 20 + "zebra zebra zebra\n" * 12)
    model = train(path, settings={"valid_fraction": 0.2})
    assert model.tokenizer.id("zebra") is None
    other = tmp_path / "v.txt"
    other.write_text(LINES * 2)
    assert train(path, valid=[other]).tokenizer.id("zebra") is not None


def test_a_split_in_order_with_a_test(text):
    listener = Listener()
    train(text, settings={"valid_fraction": 0.1, "test_fraction": 0.1}, reporter=listener)
    tokens = len((LINES * 20).split()) + 60
    assert any(f"{round(0.8 * tokens)} tokens to train on" in line for line in listener.lines)
    assert any(line.startswith("test: ") for line in listener.lines)


def test_a_short_text_shrinks_the_batch_and_says_so(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text(LINES * 3)
    listener = Listener()
    train(path, settings={"batch_size": 64, "bptt": 64}, reporter=listener)
    assert any("it shrinks to" in line for line in listener.lines)


@pytest.mark.parametrize("words", ["one two three", "the"])
def test_less_than_a_few_words_is_an_error(tmp_path, words):
    path = tmp_path / "few.txt"
    path.write_text(words)
    with pytest.raises(TextError, match="too little text"):
        train(path)


def test_only_unknown_words_is_an_error(tmp_path):
    path = tmp_path / "rare.txt"
    path.write_text(" ".join("".join(p) for p in permutations("abcdef", 4)))
    with pytest.raises(
        TextError, match="only unknown words: none is seen 2 times; lower min_count"
    ):
        train(path, settings={"min_count": 2})
    path.write_text("<unk> <unk>\n" * 40)
    with pytest.raises(TextError, match="only unknown words"):
        train(path, settings={"tokenizer": "whitespace"})


def test_what_is_there_is_kept(text, tmp_path):
    out = tmp_path / "model"
    train(text, out=out)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(FolderError, match=r"model .*--force"):
        train(text, out=out)
    with pytest.raises(SettingsError):
        train(text, out=out, force=True, settings={"layers": 0})
    (tmp_path / "empty.txt").touch()
    with pytest.raises(TextError):
        train(tmp_path / "empty.txt", out=out, force=True)
    assert (out / "model.safetensors").read_bytes() == before
    train(text, out=out, force=True, settings={"seed": 1})
    assert (out / "model.safetensors").read_bytes() != before


def test_a_full_disk_leaves_the_last_good_model(text, tmp_path, monkeypatch):
    out = tmp_path / "model"
    train(text, out=out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for module in ("atomic", "model_folder"):
        monkeypatch.setattr(f"carousel.storage.{module}.write_synced", full_disk)
    with pytest.raises(FolderError, match="No space left"):
        train(text, out=out, force=True, settings={"seed": 1})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"model", "text.txt"}


def full_disk(path, data):
    raise OSError(28, "No space left on device", str(path))


def test_an_interrupt_keeps_a_model_and_says_so(text, tmp_path):
    class Impatient(Listener):
        def on_validation(self, progress: Progress, *, is_best: bool) -> None:
            raise KeyboardInterrupt

    listener = Impatient()
    train(text, out=tmp_path / "m", reporter=listener, settings={"epochs": 50.0})
    assert any("Interrupted; the best model so far is kept" in line for line in listener.lines)
    assert carousel.load(tmp_path / "m").next_words("the", 1)


def test_an_interrupt_before_the_first_validation_keeps_a_model(text, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("carousel.training.run.loop.measure_loss", stop)
    listener = Listener()
    train(text, out=tmp_path / "m", reporter=listener)
    assert any("not validated yet" in line for line in listener.lines)
    carousel.load(tmp_path / "m")


class KilledError(Exception):
    """As if the process were no more."""


class Killer(Listener):
    """Ends the run in its n-th validation, before the reporter has shown it."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def on_validation(self, progress: Progress, *, is_best: bool) -> None:
        self.left -= 1
        if self.left == 0:
            raise KilledError


def logits_after(model, text):
    ids = np.array(model.tokenizer.encode(text))[:, None]
    reading = model.model.read(ids, model.model.initial_state())
    return model.model.logits(reading.hidden[-1, 0])


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_with_force_that_was_killed_goes_on_and_then_replaces(text, tmp_path, monkeypatch):
    out, other = tmp_path / "m", {"seed": 1, "dropout": 0.2, "test_fraction": 0.1}
    train(text, out=out)
    before = files_of(out)
    whole = train(text, out=tmp_path / "whole", settings=other)

    def stop(*args, **kwargs):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("carousel.training.run.loop.measure_loss", stop)
        with pytest.raises(KilledError):
            train(text, out=out, force=True, settings=other)
    # Nothing was validated: what was there is there, and it is not begun anew by mistake.
    assert files_of(out) == before
    with pytest.raises(FolderError, match=r"has a run that can go on: use --resume .*, or --force"):
        train(text, out=out)
    with RunFolder(out), pytest.raises(FolderError, match="being trained by another process"):
        train(text, out=out, force=True)
    with pytest.raises(KilledError):
        resume_training(out, reporter=Killer(2))
    assert files_of(out)["model.safetensors"] != before["model.safetensors"]
    reporter = Listener()
    model = resume_training(out, reporter=reporter)
    assert any(line.startswith("Goes on at step") for line in reporter.lines)
    for name, weight in whole.model.weights.items():
        np.testing.assert_array_equal(weight, model.model.weights[name])
    assert [row.get("step", "test") for row in rows_of(out)] == [
        row.get("step", "test") for row in rows_of(tmp_path / "whole")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "m", "whole"}
    with pytest.raises(FolderError, match=r"the run of .* has finished"):
        resume_training(out)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_tied_weights_of_other_width_say_that_a_projection_goes_in(text):
    listener = Listener()
    model = train(text, reporter=listener)
    assert model.config.projection_size == 6
    assert any("a projection from 8 to 6" in line for line in listener.lines)


def test_a_share_that_validates_is_needed(text):
    with pytest.raises(SettingsError, match="valid_fraction is 0"):
        train(text, settings={"valid_fraction": 0.0})


def test_tensorboard_that_is_not_installed(text, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match=r"carousel-lstm\[tensorboard\]"):
        train(text, out=tmp_path / "m", tensorboard=True)


@pytest.mark.parametrize("kind", ["chars", "bpe", "whitespace"])
def test_other_tokens(text, kind):
    model = train(text, settings={"tokenizer": kind, "vocab_size": 300 if kind == "bpe" else None})
    assert model.tokenizer.kind == kind
    assert model.next_words("the c", 1)
    assert MIN_TRAIN_TOKENS == 8


@pytest.mark.parametrize("softmax", ["adaptive", "sampled"])
def test_few_words_have_a_full_softmax_and_it_is_said(text, softmax):
    reporter = Listener()
    model = train(text, settings={"softmax": softmax}, reporter=reporter)
    assert any("the softmax is full" in line for line in reporter.lines)
    assert model.config.cutoffs == ()


@pytest.mark.parametrize("tied", [True, False])
def test_an_adaptive_model_is_whole_on_disk(text, tmp_path, monkeypatch, tied):
    monkeypatch.setattr(architecture, "choose_cutoffs", lambda counts: (4, 7))
    settings = {"softmax": "adaptive", "tie_embeddings": tied}
    model = train(text, out=tmp_path / "model", settings=settings)
    assert model.config.cutoffs == (4, 7)
    logits = logits_after(model, "the cat")
    assert np.exp(logits).sum() == pytest.approx(1, abs=1e-5)


def test_a_run_whose_files_are_damaged_goes_on_from_what_is_whole(text, tmp_path):
    out = tmp_path / "m"
    whole = train(text, out=tmp_path / "whole")
    with pytest.raises(KilledError):
        train(text, out=out, reporter=Killer(3))
    run = out.with_name("m.run")
    (run / "best.safetensors").write_bytes((run / "best.safetensors").read_bytes()[:99])
    newest = max(run.glob("step-*"))
    data = bytearray(newest.read_bytes())
    header = 8 + int.from_bytes(data[:8], "little")
    data[header:] = bytes(len(data) - header)  # of the right form, and all numbers are 0
    newest.write_bytes(data)
    reporter = Listener()
    model = resume_training(out, reporter=reporter)
    said = "\n".join(reporter.lines)
    assert f"{newest} is damaged" in said
    assert "the weights of the model folder are used" in said
    for name, weight in whole.model.weights.items():
        np.testing.assert_array_equal(weight, model.model.weights[name])
