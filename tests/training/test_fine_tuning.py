"""Fine-tuning: a run that starts from a model keeps what it is told to, and goes on bit for bit."""

import json
import tomllib

import numpy as np
import pytest

import carousel
from carousel.errors import FolderError, SettingsError
from carousel.quantization import quantize
from carousel.storage.truecase import TRUECASE_FILE, forms_to_json
from carousel.text.tokenizer import Tokenizer
from carousel.training.job import resume_training, train_model
from carousel.training.nn import architecture
from carousel.training.run.callbacks import Callback
from carousel.training.run.run_folder import RunFolder

OLD = "the cat sat on the mat\nthe dog ran to the cat\na cat likes the mat\n"
NEW = "the whale swam to the dog\nthe whale likes the sea\na dog sat on the whale\n"
SIZES = {"hidden_size": 8, "embedding_size": 6, "batch_size": 2, "bptt": 8, "device": "cpu"}
QUICK = {"epochs": 1.0, "batch_size": 2, "bptt": 8, "device": "cpu"}


class Killer(Callback):
    """Raises what a kill looks like to the files: nothing after it is done."""

    def __init__(self, after):
        self.left = after

    def on_validation(self, progress, *, is_best):
        self.left -= 1
        if not self.left:
            raise RuntimeError("killed")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "old.txt").write_text(OLD * 20)
    (folder / "new.txt").write_text(NEW * 30)
    return folder


@pytest.fixture(scope="module")
def base(texts):
    settings = SIZES | {"epochs": 1.0, "layers": 2, "learning_rate": 0.05}
    train_model([texts / "old.txt"], out=texts / "base", settings=settings)
    return texts / "base"


def tune(base, out=None, settings=(), **more):
    text = base.parent / "new.txt"
    settings = QUICK | dict(settings)
    return train_model([text], base_model=base, out=out, settings=settings, **more)


def loss(model, text):
    return -model.score(text).log_probability / len(model.score(text).tokens)


def probabilities(model, ids):
    """The probability of each token after each of ``ids``: ``[T, V]``."""
    network = model.model
    reading = network.read(np.array(ids)[:, None], network.initial_state())
    logits = network.logits(reading.hidden[:, 0]).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_learns_the_new_text_and_the_base_stays_as_it_was(base, tmp_path):
    before = contents(base)
    tuned = tune(base, tmp_path / "tuned", {"learning_rate": 0.05, "l2_sp": 0.0})
    original = carousel.load(base)
    assert contents(base) == before
    assert tuned.tokenizer.tokens() == original.tokenizer.tokens()
    assert loss(tuned, NEW) < loss(original, NEW) - 0.5
    assert tuned.config == original.config


@pytest.mark.parametrize("dtype", ["int8", "bfloat16"])
def test_a_quantized_base_is_read_to_float32(base, tmp_path, dtype):
    quantize(base, tmp_path / dtype, dtype)
    tuned = train_model(
        [base.parent / "new.txt"],
        base_model=tmp_path / dtype,
        settings=QUICK | {"learning_rate": 1e-9},
    )
    assert tuned.config.dtype == "float32"
    assert loss(tuned, OLD) == pytest.approx(loss(carousel.load(tmp_path / dtype), OLD), rel=1e-3)


def test_l2_sp_holds_the_weights_near_the_base(base):
    distance = {}
    for strength in (0.0, 5.0, 49.0):
        tuned = tune(base, settings={"learning_rate": 0.02, "l2_sp": strength})
        original = carousel.load(base).model.weights
        distance[strength] = sum(
            float(np.square(weight - original[name]).sum())
            for name, weight in tuned.model.weights.items()
        )
    assert distance[0.0] > 1.2 * distance[5.0] > 0
    assert distance[49.0] < distance[5.0] / 20


@pytest.mark.parametrize("softmax", ["full", "adaptive"])
@pytest.mark.parametrize("tied", [True, False])
def test_new_words_come_after_the_known_ones(texts, tmp_path, softmax, tied, monkeypatch):
    monkeypatch.setattr(architecture, "choose_cutoffs", lambda counts: (4, 7))
    shape = {"softmax": softmax, "tie_embeddings": tied, "embedding_size": 8}
    settings = SIZES | shape | {"epochs": 1.0, "learning_rate": 0.05}
    base = train_model([texts / "old.txt"], settings=settings)
    base.save(tmp_path / "base")
    assert bool(base.config.cutoffs) == (softmax == "adaptive")
    still = {"extend_vocab": True, "learning_rate": 1e-12}
    tuned = train_model([texts / "new.txt"], base_model=tmp_path / "base", settings=QUICK | still)
    known = len(base.tokenizer.tokens())
    assert tuned.tokenizer.tokens()[:known] == base.tokenizer.tokens()
    assert set(tuned.tokenizer.tokens()[known:]) == {"whale", "swam", "sea"}
    ids = base.tokenizer.encode(OLD)
    before, after = probabilities(base, ids), probabilities(tuned, ids)
    if softmax == "full":
        # The new words share what the unknown word had; the known ones keep what they had.
        np.testing.assert_allclose(after[:, 1:known], before[:, 1:], rtol=1e-4, atol=1e-7)
        shared = after[:, 0] + after[:, known:].sum(axis=1)
        np.testing.assert_allclose(shared, before[:, 0], rtol=1e-4, atol=1e-7)
        ratio = after[:, known] / after[:, known + 1]
        counts = [NEW.count(tuned.tokenizer.token(known + n)) for n in (0, 1)]
        np.testing.assert_allclose(ratio, counts[0] / counts[1], rtol=0.1)
    else:
        np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-4)
        head = base.config.cutoffs[0]
        np.testing.assert_allclose(after[:, :head], before[:, :head], rtol=1e-4)


def test_an_extended_vocabulary_keeps_to_its_limits(base):
    few = tune(base, settings={"extend_vocab": True, "min_count": 40})
    assert few.tokenizer.tokens()[-1] == "whale"
    known = carousel.load(base).tokenizer.vocab_size
    assert few.tokenizer.vocab_size == known + 1
    one = tune(base, settings={"extend_vocab": True, "vocab_size": known + 2})
    assert one.tokenizer.vocab_size == known + 2


@pytest.mark.parametrize("extend", [False, True])
def test_a_killed_run_ends_as_one_that_was_not(base, tmp_path, extend):
    (base / TRUECASE_FILE).write_text(forms_to_json({"cat": "Cat"}))
    settings = {"extend_vocab": extend, "l2_sp": 1.0, "learning_rate": 0.02, "dropout": 0.1}
    whole = tune(base, tmp_path / "whole", settings)
    with pytest.raises(RuntimeError, match="killed"):
        tune(base, tmp_path / "m", settings, callbacks=[Killer(2)])
    record = json.loads((tmp_path / "m.run" / "run.json").read_text())
    assert record["base_model"]["path"] == str(base)
    assert len(record["base_model"]["sha256"]) == 64
    again = resume_training(tmp_path / "m")
    for name, weight in whole.model.weights.items():
        np.testing.assert_array_equal(weight, again.model.weights[name])
    for name in ("whole", "m"):
        assert carousel.load(tmp_path / name).tokenizer.forms == {"cat": "Cat"}


def test_a_base_that_was_replaced_or_is_gone_is_not_gone_on_with(base, tmp_path):
    carousel.load(base).save(tmp_path / "base")
    with pytest.raises(RuntimeError, match="killed"):
        train_model(
            [base.parent / "new.txt"], base_model=tmp_path / "base", out=tmp_path / "m",
            settings=QUICK, callbacks=[Killer(1)],
        )  # fmt: skip
    other = train_model([base.parent / "old.txt"], settings=SIZES | {"epochs": 0.1})
    other.save(tmp_path / "base", force=True)
    with pytest.raises(FolderError, match="is not the model that the run began with"):
        resume_training(tmp_path / "m")
    (tmp_path / "base" / "config.json").unlink()
    with pytest.raises(FolderError, match="missing"):
        resume_training(tmp_path / "m")
    assert RunFolder(tmp_path / "m").path.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_size": 9}, "hidden_size is 8 in .*base, not 9: leave it out"),
        ({"cell": "gru"}, "cell is 'lstm' in .*base, not 'gru'"),
        ({"tokens": "chars"}, "tokenizer is 'words' in .*base, not 'chars'"),
        ({"lowercase": False}, "lowercase is True"),
        ({"softmax": "adaptive"}, "softmax is 'full'"),
        ({"min_count": 2}, "min_count: the vocabulary is that of .*or set extend_vocab = true"),
        ({"embedding_std": 0.1}, "embedding_std: the embedding is that of"),
    ],
)
def test_settings_that_disagree_are_refused(base, tmp_path, settings, message):
    with pytest.raises(SettingsError, match=message) as error:
        tune(base, tmp_path / "m", settings)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "m").exists()


def test_settings_that_agree_are_taken(base):
    agreeing = {"hidden_size": 8, "softmax": "auto", "projection_size": 0, "layers": 2}
    assert tune(base, settings=agreeing).config == carousel.load(base).config
    recipe = str(base / "recipe.toml")
    assert tune(base, recipe=recipe).config == carousel.load(base).config


def test_batches_follow_from_the_text(base, tmp_path):
    text = base.parent / "new.txt"
    train_model([text], base_model=base, out=tmp_path / "m", settings={"device": "cpu"})
    recipe = tomllib.loads((tmp_path / "m" / "recipe.toml").read_text())
    assert (recipe["batch_size"], recipe["bptt"]) == (8, 32)
    assert (recipe["learning_rate"], recipe["epochs"], recipe["l2_sp"]) == (0.0005, 2.0, 60.0)


def test_the_base_is_no_place_to_write_to(base):
    with pytest.raises(FolderError, match="the model to start from, which is kept"):
        tune(base, base, force=True)


@pytest.mark.parametrize("settings", [{"l2_sp": 1.0}, {"extend_vocab": True}])
def test_settings_of_fine_tuning_need_a_base(texts, settings):
    with pytest.raises(SettingsError, match="for fine-tuning"):
        train_model([texts / "new.txt"], settings=SIZES | settings)


def test_a_base_of_byte_pairs_is_not_extended(texts, tmp_path):
    settings = SIZES | {"tokenizer": "bpe", "vocab_size": 300, "epochs": 0.1}
    train_model([texts / "old.txt"], settings=settings).save(tmp_path / "bpe")
    with pytest.raises(SettingsError, match="byte pairs know every word"):
        train_model(
            [texts / "new.txt"], base_model=tmp_path / "bpe", settings={"extend_vocab": True}
        )
    tuned = train_model([texts / "new.txt"], base_model=tmp_path / "bpe", settings=QUICK)
    assert isinstance(tuned.tokenizer, Tokenizer)


def test_fine_tuning_from_python_by_name(texts):
    tuned = carousel.train(
        texts / "new.txt", base_model="stories-gru", epochs=0.1, device="cpu", progress=False
    )
    assert tuned.config.cell == "gru"
