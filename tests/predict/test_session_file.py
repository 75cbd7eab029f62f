"""Sessions on disk: they go on bit for bit, and a file is checked before it is believed."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from carousel.errors import FolderError
from carousel.predict.session_file import FORMAT, fingerprint
from carousel.storage.adaptation import CacheParameters

TEXT = "the cat likes burger and the dog likes pizza"


@pytest.mark.parametrize("adapt", [None, CacheParameters(size=8)], ids=["plain", "cache"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("read", ["", "the", TEXT, TEXT + "\n"], ids=len)
def test_a_restored_session_goes_on_bit_for_bit(make_model, tmp_path, adapt, cell, read):
    session = make_model(cell=cell).session(adapt)
    session.feed(read)
    session.save(tmp_path / "s.safetensors")
    restored = make_model(cell=cell).session(adapt)
    restored.feed("so he")
    restored.restore(tmp_path / "s.safetensors")
    for word in ("so", "he", "orders", "pizza", "but", "so"):
        np.testing.assert_array_equal(restored.logits, session.logits)
        assert (restored.attached, restored.space) == (session.attached, session.space)
        assert restored.next_words(prefix="p") == session.next_words(prefix="p")
        session.feed(word)
        restored.feed(word)
    assert [path.name for path in tmp_path.iterdir()] == ["s.safetensors"]


def test_a_session_under_clamps_keeps_its_position(make_model, tmp_path):
    with make_model().clamp("forget", 0.0, at=5) as held:
        session = held.session(CacheParameters(size=4))
        session.feed("the cat likes")
        session.save(tmp_path / "s")
        restored = held.session(CacheParameters(size=4))
        restored.restore(tmp_path / "s")
        for one in (session, restored):
            one.feed("burger and the dog")
        np.testing.assert_array_equal(session.logits, restored.logits)
    plain = make_model().session(CacheParameters(size=4))
    with pytest.raises(FolderError, match="another model"):
        plain.restore(tmp_path / "s")


def test_other_models_and_parameters_are_refused(make_model, tmp_path):
    path = tmp_path / "s"
    session = make_model().session(CacheParameters(size=4))
    session.save(path)
    before = session.logits
    others = [
        make_model().session(), make_model(seed=1).session(CacheParameters(size=4)),
        make_model().session(CacheParameters(size=4, theta=0.9)), make_model(cell="gru").session(),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(FolderError, match="another model"):
            other.restore(path)
    np.testing.assert_array_equal(session.logits, before)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"\xff" * 8 + b"{}", b"text"], ids=len)
def test_foreign_files(make_model, tmp_path, data):
    path = tmp_path / "s"
    path.write_bytes(data)
    with pytest.raises(FolderError, match="can't be read as a saved session"):
        make_model().session().restore(path)
    with pytest.raises(FolderError, match="no such saved session"):
        make_model().session().restore(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("state.words", lambda a: a + 10**6, "ids of words"),
        ("state.words", lambda a: a.astype(np.int64), "type int64"),
        ("state.words", lambda a: a[:2], "another shape"),
        ("state.keys", lambda a: a * np.inf, "not finite"),
        ("state.inner.h", lambda a: a * np.nan, "not finite"),
        ("state.inner.c", lambda a: None, "another kind"),
    ],
)
def test_damaged_values(make_model, tmp_path, name, change, message):
    path = tmp_path / "s"
    lm = make_model()
    session = lm.session(CacheParameters(size=4))
    session.feed(TEXT)
    session.save(path)
    arrays = load_file(path)
    with np.errstate(invalid="ignore"):
        changed = change(arrays.pop(name))
    if changed is not None:
        arrays[name] = changed
    model = fingerprint(session.model, lm.tokenizer)
    save_file(arrays, path, {"format": FORMAT, "model": model, "attached": "0", "space": ""})
    with pytest.raises(FolderError, match=message):
        session.restore(path)
