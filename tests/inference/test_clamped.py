"""Clamps act the same however a text is read: at once, by word, in a batch, on both backends."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.cells import CELLS
from carousel.evaluate import evaluate_ids
from carousel.inference.state import take_sequences
from carousel.lens.clamp import Clamp, bind_clamp
from carousel.lens.names import cell_of
from carousel.text.corpus import Counts

WORDS = ["the", "cat", "likes", "pizza", "but", "the", "dog", "likes", "pie"]

places = st.one_of(
    st.none(),
    st.lists(st.one_of(st.sampled_from(WORDS), st.integers(0, 11)), min_size=1, max_size=3),
)
unit_lists = st.one_of(st.none(), st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True))
numbers = st.floats(-1, 1, width=32)


@st.composite
def clamps(draw, names, trace):
    name = draw(st.sampled_from(names))
    more = {
        "at": draw(places),
        "units": draw(unit_lists),
        "layer": draw(st.sampled_from([None, 1])),
    }
    kind = draw(
        st.sampled_from(["set", "scale", "toward", "noise", "freeze", "mean", "patch", "function"])
    )
    if kind in ("set", "scale", "noise"):
        return getattr(Clamp, kind)(name, draw(numbers), **more)
    if kind == "toward":
        return Clamp.toward(name, draw(numbers), draw(st.floats(0, 1)), **more)
    if kind == "freeze":
        return Clamp.freeze(name, **more)
    if kind == "mean":
        return Clamp.mean(name, trace, **more)
    if kind == "patch":
        return Clamp.patch(name, trace, source=draw(st.integers(0, len(trace) - 1)), **more)
    return Clamp.function(name, lambda value: -0.5 * value, **more)


def held_model(lm, chosen):
    return lm.model.clamped([bind_clamp(lm.config, lm.tokenizer, clamp) for clamp in chosen])


def cut(ids, lengths):
    start = 0
    for length in lengths:
        yield ids[start : start + length]
        start += length
    yield ids[start:]


@pytest.mark.parametrize("cell", CELLS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_one_reading_word_by_word_batches_and_both_backends_agree(make_model, cell, data):
    engine, numpy = (make_model(cell, layers=2, backend=b) for b in ("auto", "numpy"))
    names = list(cell_of(engine.config).names)
    trace = engine.trace("a dog ran to pizza and pie")
    chosen = data.draw(st.lists(clamps(names, trace), min_size=1, max_size=3))
    ids = np.array([1, *engine.tokenizer.encode(" ".join(WORDS))])
    lengths = data.draw(st.lists(st.integers(0, 4), max_size=6))
    record = ("layers.0.h", "layers.1.h")
    expected = None
    for lm in (numpy, engine):
        model = held_model(lm, chosen)
        at_once = model.read(ids[:, None], model.initial_state(), record)
        expected = at_once if expected is None else expected
        state, hidden = model.initial_state(), []
        for piece in cut(ids, lengths):
            reading = model.read(piece[:, None], state)
            state = reading.state
            hidden.append(reading.hidden)
        np.testing.assert_allclose(np.concatenate(hidden), at_once.hidden, atol=2e-6)
        np.testing.assert_allclose(at_once.hidden, expected.hidden, atol=1e-5)
        for name in record:
            np.testing.assert_allclose(at_once.values[name], expected.values[name], atol=1e-5)
        # In a batch, beside a text that is one word ahead.
        two = take_sequences(model.initial_state(), [0, 0])
        batch = model.read(np.stack([ids, np.roll(ids, -1)], axis=1), two)
        np.testing.assert_allclose(batch.hidden[:, :1], at_once.hidden, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "numpy"])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_sessions_generation_and_evaluation_are_under_the_same_clamps(make_model, backend, data):
    lm = make_model(layers=2, backend=backend)
    trace = lm.trace("a dog ran to pizza and pie")
    chosen = data.draw(st.lists(clamps(list("figoch"), trace), min_size=1, max_size=2))
    model = held_model(lm, chosen)
    held = type(lm)(model, lm.tokenizer)
    text = " ".join(WORDS)
    expected = held.trace(text).logits[-1]
    session = held.session()
    for word in WORDS:
        session.feed(word)
    np.testing.assert_allclose(session.logits, expected, atol=1e-5)
    # The likeliest tokens, one after the other, are those of readings of the whole text so far.
    generated = lm.tokenizer.encode(text + "".join(held.stream(text, temperature=0, max_tokens=3)))
    ids = lm.tokenizer.encode(text)
    for _ in range(3):
        reading = model.read(np.array([1, *ids])[:, None], model.initial_state())
        logits = model.logits(reading.hidden[-1, 0])
        logits[0] = -np.inf
        ids.append(int(logits.argmax()))
    assert generated == ids
    counts = Counts(tokens=len(ids), lines=1, words=len(ids), characters=50)
    evaluation = evaluate_ids(model, lm.tokenizer, np.array(ids), counts)
    reading = model.read(np.array([1, *ids[:-1]])[:, None], model.initial_state())
    logits = model.logits(reading.hidden[:, 0]).astype(np.float64)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    nats = -log_probabilities[np.arange(len(ids)), ids].mean()
    assert evaluation.nats_per_token == pytest.approx(nats, abs=1e-5)


def test_positions_count_through_a_session(make_model):
    lm = make_model()
    for position in (0, 3):
        with lm.clamp("forget", 0.0, at=position) as held:
            session = held.session()
            for word in WORDS:
                session.feed(word)
            whole = held.trace(" ".join(WORDS))
            np.testing.assert_allclose(session.logits, whole.logits[-1], atol=1e-5)
            assert (whole["forget"][position] == 0).all()
            assert (whole["forget"][[1, 2, 4, 5]] > 0).all()


def test_a_word_of_several_tokens_is_held_at_its_last(make_model):
    lm = make_model(kind="chars", text="the cat sat\n")
    with lm.clamp("forget", 0.0, at="cat") as held:
        whole = held.trace("the cat sat")
        session = held.session()
        for letter in "the cat sat":
            session.feed(letter)
    np.testing.assert_allclose(session.logits, whole.logits[-1], atol=1e-6)
    zeros = np.flatnonzero((whole["forget"] == 0).all(1))
    assert zeros.tolist() == [7]


def test_frozen_at_the_first_word_there_is_nothing_to_hold(make_model):
    from carousel.errors import UntouchedWarning

    lm = make_model()
    free = lm.trace("the cat")
    with (
        pytest.warns(UntouchedWarning),
        lm.clamp(Clamp.freeze("forget", at=0)) as held,
    ):
        np.testing.assert_allclose(held.trace("the cat")["forget"], free["forget"], atol=1e-6)


def test_states_with_and_without_clamps_are_told_apart(make_model):
    lm = make_model()
    with lm.clamp("forget", 1.0) as held:
        ids = np.array([[1]])
        with pytest.raises(TypeError, match="take initial_state of this one"):
            held.model.read(ids, lm.model.initial_state())
        with pytest.raises(TypeError, match="goes on under them only"):
            lm.model.read(ids, held.model.initial_state())
        held.trace("the")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_toward_is_between_the_value_and_the_target(make_model, cell):
    lm = make_model(cell)
    gate = "f" if cell == "lstm" else "z"
    free = lm.trace("the cat likes")
    for strength in (0.0, 0.25, 1.0):
        with lm.clamp(Clamp.toward(gate, 1.0, strength, at=2)) as held:
            moved = held.trace("the cat likes")[gate][2]
        np.testing.assert_allclose(moved, (1 - strength) * free[gate][2] + strength, atol=1e-6)


def arrays_of(state):
    """The arrays of a state, in their order."""
    for part in state:
        yield from arrays_of(part) if isinstance(part, tuple) else [part]


def restored(state, arrays):
    """A state of the form of ``state`` that holds other arrays."""
    return type(state)(
        *(restored(part, arrays) if isinstance(part, tuple) else next(arrays) for part in state)
    )


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_session_that_is_saved_and_restored_goes_on_under_its_clamps(
    make_model, tmp_path_factory, data
):
    lm = make_model(layers=2)
    trace = lm.trace("a dog ran to pizza and pie")
    chosen = data.draw(st.lists(clamps(list("figoch"), trace), min_size=1, max_size=3))
    at = data.draw(st.integers(1, len(WORDS) - 1))
    before, after = held_model(lm, chosen), held_model(lm, chosen)
    session = type(lm)(before, lm.tokenizer).session()
    session.feed(" ".join(WORDS[:at]))
    path = tmp_path_factory.mktemp("saved") / "state.npz"
    np.savez(path, *arrays_of(session.state))
    session.feed(" ".join(WORDS[at:]))
    # Another model of the same clamps, as in a process that has been started anew.
    resumed = type(lm)(after, lm.tokenizer).session()
    with np.load(path) as file:
        saved = [file[name] for name in file.files]
    resumed.state = restored(resumed.state, iter(saved))
    resumed.feed(" ".join(WORDS[at:]))
    np.testing.assert_array_equal(resumed.logits, session.logits)
    for one, other in zip(arrays_of(resumed.state), arrays_of(session.state), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sessions_of_many_threads_are_each_under_their_own_clamps(make_model):
    """Bit for bit what one thread computes, while the engine's threads are changed, too."""
    lm = make_model(layers=2, hidden_size=24, embedding_size=24)
    chosen = [
        [Clamp.set("forget", 1.0, at="the")],
        [Clamp.freeze("input", at="cat")],
        [Clamp.scale("output", 0.5), Clamp.set("c", 0.25, at=[3, 5], units=[1, 2])],
        [Clamp.noise("forget", 0.5)],
    ]
    held = [type(lm)(held_model(lm, clamps), lm.tokenizer) for clamps in chosen]

    def read(number):
        session = held[number % len(held)].session()
        logits = []
        for word in WORDS * 3:
            session.feed(word)
            logits.append(session.logits)
        return np.stack(logits)

    expected = [read(number) for number in range(len(held))]
    with ThreadPoolExecutor(8) as threads:
        results = threads.map(read, range(64))
        for count in (2, 3, 1) * 10:
            if lm.model.decoder is not None:
                lm.model.decoder.threads = count
        for number, logits in enumerate(results):
            np.testing.assert_array_equal(logits, expected[number % len(held)])
