"""Signals during a run: the first asks, the second interrupts, and the handlers are put back."""

import signal
import threading

import pytest

from carousel.training.run.interrupts import (
    StopRequestedError,
    Terminated,
    handle_interrupts,
    raise_terminated,
)

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def handlers():
    """A function that sets both signals' handlers; what was set before comes back."""
    before = [signal.getsignal(number) for number in NUMBERS]

    def put(*wanted):
        for number, handler in zip(NUMBERS, wanted, strict=True):
            signal.signal(number, handler)

    yield put
    put(*before)


def now():
    return tuple(map(signal.getsignal, NUMBERS))


@pytest.mark.parametrize("second", NUMBERS)
@pytest.mark.parametrize("first", NUMBERS)
def test_the_first_signal_asks_and_the_second_interrupts(handlers, first, second):
    handlers(signal.default_int_handler, signal.default_int_handler)
    with handle_interrupts() as stop:
        stop.raise_if_requested()
        signal.raise_signal(first)
        assert stop.requested
        with pytest.raises(StopRequestedError):
            stop.raise_if_requested()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(second)
    assert now() == (signal.default_int_handler, signal.default_int_handler)


def test_the_handlers_are_put_back_and_the_next_run_is_not_asked(handlers):
    handlers(signal.default_int_handler, signal.default_int_handler)
    with handle_interrupts():
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    with handle_interrupts() as stop:
        stop.raise_if_requested()


def test_signals_with_owners_of_their_own_stay_theirs(handlers):
    heard = []
    handlers(lambda number, frame: heard.append(number), signal.SIG_IGN)
    before = now()
    with handle_interrupts() as stop:
        assert now() == before
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        stop.raise_if_requested()
    assert heard == [signal.SIGINT] * 2
    assert now() == before


def test_sigterm_has_a_handler_of_its_own(handlers):
    handlers(signal.default_int_handler, raise_terminated)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)
    with handle_interrupts() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal_number == signal.SIGTERM
    assert now() == (signal.default_int_handler, raise_terminated)


def test_another_thread_than_the_main_one_hears_nothing(handlers):
    handlers(signal.default_int_handler, signal.default_int_handler)
    before, inside = now(), []

    def run():
        with handle_interrupts() as stop:
            stop.raise_if_requested()
            inside.append(now())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == [before]
    assert now() == before
