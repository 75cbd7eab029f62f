"""Models that adapt, through the front door: sessions, evaluation, generation, what is refused."""

import math

import numpy as np
import pytest

from carousel import LanguageModel
from carousel.errors import FolderError, LensError, SettingsError
from carousel.inference.neural_cache import CacheBackend
from carousel.predict.score import score_texts
from carousel.storage.adaptation import (
    Adaptation,
    CacheParameters,
    DynamicParameters,
    write_adaptation,
)

CACHE = CacheParameters(theta=0.5, lambda_=0.2, size=40)
DYNAMIC = DynamicParameters(learning_rate=0.2, window=5)
LINES = ["the cat likes burger", "so the dog likes pizza but the cat likes burger", "a mat"]


def write(tmp_path, lines):
    path = tmp_path / "text.txt"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def naive_perplexity(lm, lines):
    """One token after the other, each predicted from all before it."""
    ids = lm.tokenizer.encode("".join(line + "\n" for line in lines))
    state, token, nats = lm.model.initial_state(), lm.tokenizer.eol_id, 0.0
    for target in ids:
        scores, state = lm.model.step([token], state)
        nats -= float(scores[0, target] - np.logaddexp.reduce(scores[0].astype(np.float64)))
        token = target
    return math.exp(nats / len(ids))


@pytest.mark.parametrize("adapt", [CACHE, DYNAMIC], ids=["cache", "dynamic"])
def test_evaluation_is_one_pass_over_the_whole_text(make_model, tmp_path, adapt):
    lm = make_model()
    lines = LINES * 6
    found = lm.evaluate(write(tmp_path, lines), adapt=adapt)
    assert found.perplexity == pytest.approx(naive_perplexity(lm.adapt(adapt), lines), rel=1e-4)
    assert found.perplexity < lm.evaluate(write(tmp_path, lines)).perplexity
    assert found.recall_at_3 > 0


def test_streams_of_a_cache_start_with_it_full(make_model, tmp_path, monkeypatch):
    from carousel import evaluate as module

    lm, lines = (
        make_model(scale=0.4),
        [LINES[i] for i in np.random.default_rng(0).integers(0, 3, 90)],
    )
    one = lm.evaluate(write(tmp_path, lines), adapt=CACHE)
    monkeypatch.setattr(module, "SHORTEST_STREAM", 100)
    many = lm.evaluate(write(tmp_path, lines), adapt=CACHE)
    assert many.tokens == one.tokens
    assert many.perplexity == pytest.approx(one.perplexity, rel=1e-4)


@pytest.mark.parametrize("adapt", [CACHE, DYNAMIC], ids=["cache", "dynamic"])
def test_a_session_is_one_reading_and_its_copies_go_their_own_ways(make_model, adapt):
    lm = make_model()
    session = lm.session(adapt)
    for word in " ".join(LINES).split():
        session.feed(word)
    whole = lm.session(adapt)
    whole.feed(" ".join(LINES))
    np.testing.assert_allclose(session.logits, whole.logits, atol=1e-4)
    branch, before = session.copy(), session.logits
    for _ in range(4):
        branch.feed("so the dog ran")
    np.testing.assert_array_equal(session.logits, before)
    assert np.abs(branch.logits - before).max() > 0.01
    session.reset()
    np.testing.assert_array_equal(session.logits, lm.session(adapt).logits)


@pytest.mark.parametrize("adapt", [CACHE, DYNAMIC], ids=["cache", "dynamic"])
@pytest.mark.parametrize("kind", ["words", "chars"])
def test_everything_goes_through_it(make_model, adapt, kind):
    lm = make_model(kind=kind).adapt(adapt)
    text = " ".join(LINES)
    assert lm.next_words(text, k=3)
    assert lm.next_words(text + " ", k=3, prefix="p")
    generated = lm.generate(text, max_tokens=12, seed=1)
    assert generated == lm.generate(text, max_tokens=12, seed=1)
    assert lm.score(text).log_probability < 0


def test_parameters_come_from_the_folder(make_model, tmp_path):
    make_model().save(tmp_path / "m")
    lm = LanguageModel.load(tmp_path / "m")
    assert lm.adapt("cache").model.backend.parameters == CacheParameters()
    assert lm.adapt("dynamic").model.backend.parameters == DynamicParameters()
    write_adaptation(tmp_path / "m", Adaptation(CACHE, DYNAMIC))
    assert lm.adapt("cache").model.backend.parameters == CACHE
    assert lm.adapt("dynamic").model.backend.parameters == DYNAMIC


def test_what_makes_no_sense_is_refused(make_model, monkeypatch):
    lm = make_model()
    with pytest.raises(SettingsError, match="adapt must be cache or dynamic, not 'both'"):
        lm.adapt("both")
    with pytest.raises(SettingsError, match="adapts already"):
        lm.adapt("cache").adapt("cache")
    with lm.clamp("forget", 1.0) as held:
        assert held.next_words("the cat")
        with pytest.raises(SettingsError, match="gates are held"):
            held.adapt("dynamic")
    with pytest.raises(LensError, match="hold the gates first"):
        lm.adapt("cache").model.clamped([])
    monkeypatch.setattr("carousel.adaptation.adapted.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs torch"):
        lm.adapt("dynamic")
    assert isinstance(lm.adapt("cache").model.backend, CacheBackend)


def test_texts_are_scored_one_by_one_while_weights_learn(make_model):
    lm = make_model().adapt(DynamicParameters(learning_rate=0.5, window=3))
    together = score_texts(lm.model, lm.tokenizer, LINES)
    for one, text in zip(together, LINES, strict=True):
        np.testing.assert_array_equal(one.log_probabilities, lm.score(text).log_probabilities)


@pytest.mark.parametrize("read", ["", "the", " ".join(LINES), "the cat\n"], ids=len)
def test_what_was_learned_is_saved_and_restored_bit_for_bit(make_model, tmp_path, read):
    session = make_model().session(DYNAMIC)
    session.feed(read)
    session.save(tmp_path / "s")
    restored = make_model().session(DYNAMIC)
    restored.feed("so he")
    restored.restore(tmp_path / "s")
    for word in ["so", "he", "orders", "pizza", "but", "so"]:
        np.testing.assert_array_equal(restored.logits, session.logits)
        session.feed(word)
        restored.feed(word)
    with pytest.raises(FolderError, match="another model"):
        make_model().session().restore(tmp_path / "s")
