"""Batches made ahead by a thread: the same ones, its errors too, and no thread left behind."""

import itertools
import threading

import pytest
import torch

from carousel.training.data.batches import PREFETCH, prefetch, to_device


def batch(number):
    return torch.full((2, 3), number), torch.full((2, 3), number + 1)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def numbers(batches):
    actual = []
    for x, y in batches:
        assert torch.equal(y, x + 1)
        actual.append(int(x[0, 0]))
    return actual


@pytest.mark.parametrize("count", [0, 1, PREFETCH, 5 * PREFETCH])
def test_the_same_pieces_in_order(count):
    assert numbers(prefetch(batch(n) for n in range(count))) == list(range(count))
    assert threads() == []


def test_what_the_thread_runs_into_is_met_by_the_reader_after_what_came_before():
    def failing():
        yield from map(batch, range(PREFETCH + 2))
        raise OSError("the text is gone")

    ahead = prefetch(failing())
    assert numbers(itertools.islice(ahead, PREFETCH + 2)) == list(range(PREFETCH + 2))
    with pytest.raises(OSError, match="the text is gone"):
        next(ahead)
    assert threads() == []


def test_a_reader_that_stops_ends_the_thread():
    made = itertools.count()
    ahead = prefetch(batch(n) for n in made)
    assert threads() == []  # nobody has asked for a batch yet
    next(ahead), next(ahead)
    assert len(threads()) == 1
    ahead.close()
    assert threads() == []
    # Two were taken, PREFETCH wait, and one more was at hand with no place to go.
    assert next(made) <= 2 + PREFETCH + 1


def test_a_reader_that_fails_ends_the_thread():
    def read():
        for _ in prefetch(map(batch, itertools.count())):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()
    assert threads() == []


def test_a_cpu_needs_no_thread():
    batches = to_device(map(batch, range(5)), torch.device("cpu"))
    next(batches)
    assert threads() == []
    assert numbers(batches) == [1, 2, 3, 4]
