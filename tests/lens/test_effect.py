"""Before and after, against two plain readings."""

import numpy as np
import pytest

from by_hand import softmax_by_hand
from carousel.errors import LensError
from carousel.lens.clamp import Clamp
from carousel.lens.effect import measure_effect
from front_door import parts, read_logits

TEXT = "the cat likes pizza but the dog likes"


# Kernels and reference round their logits differently, by some 1e-7 of them.
@pytest.mark.parametrize(("engine", "rel", "atol"), [(False, 1e-6, 1e-8), (True, 1e-5, 1e-6)])
def test_the_numbers_by_hand(make_model, engine, rel, atol):
    model = make_model(scale=1.5, backend="engine" if engine else "numpy")
    clamp = Clamp("forget", 0.0, at="dog")
    effect = measure_effect(*parts(model), TEXT, clamp, compare=("pie", "pizza"), k=3)
    with model.clamp(clamp) as held:
        after, _ = read_logits(held, model.tokenizer.encode(TEXT))
    before, _ = read_logits(model, model.tokenizer.encode(TEXT))
    p, q = np.array(softmax_by_hand(before)), np.array(softmax_by_hand(after))
    assert effect.divergence == pytest.approx((p * np.log(p / q)).sum(), rel=rel)
    a, b = model.tokenizer.id("pie"), model.tokenizer.id("pizza")
    assert effect.difference_before == pytest.approx(before[a] - before[b], abs=1e-5)
    assert effect.difference_after == pytest.approx(after[a] - after[b], abs=1e-5)
    assert len(effect.changes) == 3
    moved = np.sort(np.abs(q - p))[::-1][:3]
    np.testing.assert_allclose([abs(c.after - c.before) for c in effect.changes], moved, atol=atol)
    assert effect.table()["changes"][0]["word"] == effect.changes[0].word


def test_text_and_several_clamps(make_model):
    model = make_model()
    both = measure_effect(*parts(model), TEXT, ["forget=0@dog", Clamp("input", 0.0, at=3)])
    assert both.after["f"][7].max() == 0 == both.after["i"][3].max()
    assert both.difference_before is None


def test_a_clamp_that_changes_nothing_has_no_effect(make_model):
    model = make_model()
    assert measure_effect(*parts(model), TEXT, "forget*1@cat").divergence == pytest.approx(
        0, abs=1e-12
    )


def test_words_that_are_not_in_the_text(make_model):
    model = make_model()
    with pytest.raises(LensError, match="'mat' is not a word of the text; there are ⏎, the, cat"):
        measure_effect(*parts(model), TEXT, "forget=0@mat")
    with pytest.raises(LensError, match="'sushi' is not a word of the vocabulary"):
        measure_effect(*parts(model), TEXT, "forget=0@cat", compare=("sushi", "pie"))


def test_capital_letters_are_read_as_the_model_reads_them(make_model):
    assert measure_effect(*parts(make_model()), TEXT, "forget=0@CAT").divergence > 0
