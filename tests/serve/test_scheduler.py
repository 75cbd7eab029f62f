"""The scheduler: together as alone, one after the other in turn, and never too much."""

import asyncio
import threading

import pytest

import carousel
from carousel.predict.generation import Continuation
from carousel.serve import scheduler as module
from carousel.serve.contexts import Context
from carousel.serve.errors import ApiError
from carousel.serve.generation import continue_text, read_prompt
from carousel.serve.scheduler import Call, Read, Scheduler
from carousel.serve.words import read_and_rank

TEXTS = ["krish likes pizza", "on sunday i want to eat", "my name is krish", "krish"] * 8


@pytest.fixture(scope="module", params=[None, "cache"])
def context(request, tmp_path_factory):
    """A model whose batches are exact: one in int8."""
    folder = tmp_path_factory.mktemp("int8") / "stories"
    carousel.quantize(carousel.load("stories-lstm").path, folder, "int8")
    return Context("stories", carousel.load(folder), request.param)


def together(context, works, alone):
    """The results of works that are given to the thread all at once, or one by one."""

    async def run():
        scheduler = Scheduler(context.model, context.tokenizer)
        try:
            if alone:
                return [await scheduler.submit(work).future for work in works]
            jobs = [scheduler.submit(work) for work in works]
            return await asyncio.gather(*(job.future for job in jobs))
        finally:
            scheduler.close()

    return asyncio.run(run())


def test_batches_are_used_where_they_are_exact(context):
    engine = context.model.decoder is not None
    assert Scheduler(context.model, context.tokenizer).max_batch == (32 if engine else 1)
    floats = Context("floats", carousel.load("stories-lstm"))
    found = module.find_batch(floats.model)
    assert found in (1, 8, 32)


def test_next_words_of_many_are_those_of_each_bit_for_bit(context):
    def works():
        return [
            read_and_rank(context, context.tokenizer.encode(text), 1 + number % 7, None)
            for number, text in enumerate(TEXTS)
        ]

    many, single = (together(context, works(), alone) for alone in (False, True))
    assert many == single
    assert [len(words) for words in many] == [1 + number % 7 for number in range(len(TEXTS))]


def test_continuations_of_many_are_those_of_each_bit_for_bit(context):
    def texts(alone):
        pieces = [[] for _ in TEXTS]
        works = []
        for number, text in enumerate(TEXTS):
            ids = context.tokenizer.encode(text)
            (prompt,) = together(context, [read_prompt(context, ids, None)], alone=True)
            drawn = Continuation(context.tokenizer, ids, max_tokens=20, seed=number)
            works.append(continue_text(context, prompt, drawn, 2, pieces[number].append))
        together(context, works, alone)
        return pieces

    assert texts(alone=False) == texts(alone=True)


def test_a_long_text_lets_others_have_their_turn(context):
    order, all_there = [], threading.Event()

    def long():
        yield Call(all_there.wait)
        state = context.model.initial_state()
        for _ in range(20):
            state = (yield Read([1] * 64, state)).state
        order.append("long")

    def short():
        yield Call(lambda: None)
        order.append("short")

    async def run():
        scheduler = Scheduler(context.model, context.tokenizer)
        jobs = [scheduler.submit(work) for work in (long(), short(), short())]
        all_there.set()
        await asyncio.gather(*(job.future for job in jobs))
        scheduler.close()

    asyncio.run(run())
    assert order == ["short", "short", "long"]


def test_an_error_comes_to_whom_it_belongs(context):
    def wrong():
        yield Read([10**6], context.model.initial_state())

    async def run():
        scheduler = Scheduler(context.model, context.tokenizer)
        good = read_and_rank(context, [], 1, None)
        jobs = [scheduler.submit(work) for work in (wrong(), good, wrong())]
        results = await asyncio.gather(*(job.future for job in jobs), return_exceptions=True)
        scheduler.close()
        return results

    first, second, third = asyncio.run(run())
    assert isinstance(first, IndexError)
    assert isinstance(third, IndexError)
    assert second == context.session().next_words(1)


def test_cancelled_work_stops(context):
    steps = []

    def endless():
        state = context.model.initial_state()
        while True:
            steps.append(1)
            state = (yield Read([1], state)).state

    async def run():
        scheduler = Scheduler(context.model, context.tokenizer)
        job = scheduler.submit(endless())
        while len(steps) < 10:
            await asyncio.sleep(0.001)
        job.cancel()
        while scheduler.depth:
            await asyncio.sleep(0.001)
        count = len(steps)
        await asyncio.sleep(0.02)
        scheduler.close()
        return count

    assert asyncio.run(run()) == len(steps)


def test_too_much_work_is_refused(context, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 3)

    def idle():
        yield Call(lambda: None)

    async def run():
        scheduler = Scheduler(context.model, context.tokenizer)
        # The thread is not started: all of it waits.
        scheduler._waiting += [module.Job(idle(), asyncio.get_running_loop()) for _ in range(3)]
        with pytest.raises(ApiError) as caught:
            scheduler.submit(idle())
        return caught.value

    error = asyncio.run(run())
    assert error.status == 429
    assert error.response().headers["retry-after"] == "1"
