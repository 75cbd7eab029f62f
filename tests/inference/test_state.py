"""States by sequence."""

import numpy as np

from carousel.cells import HiddenState, LSTMState
from carousel.inference.state import ClampedState, take_sequences, where_sequences


def nested(batch, value):
    inner = LSTMState(np.full((2, batch, 3), value), np.full((2, batch, 3), -value))
    position = np.full((1, batch), int(value))
    return ClampedState(inner, position, position.copy(), np.full((1, batch, 3), value))


def test_sequences_are_taken_from_every_array():
    state = nested(2, 1.0)
    state.position[0] = [4, 5]
    state.inner.c[:, 1] = 9
    taken = take_sequences(state, [1, 1, 0])
    assert taken.position.tolist() == [[5, 5, 4]]
    assert taken.inner.c.shape == (2, 3, 3)
    assert (taken.inner.c[:, :2] == 9).all()
    assert isinstance(taken.inner, LSTMState)


def test_sequences_of_two_states():
    chosen = np.array([True, False, True])
    mixed = where_sequences(chosen, nested(3, 1.0), nested(3, 2.0))
    assert mixed.position.tolist() == [[1, 2, 1]]
    assert mixed.inner.h[0, :, 0].tolist() == [1, 2, 1]
    plain = where_sequences(chosen, *(HiddenState(np.full((1, 3, 2), v)) for v in (1.0, 2.0)))
    assert plain.h[0, :, 0].tolist() == [1, 2, 1]
