"""Threads, forks and ends of programs: a decoder answers as one thread does, and never hangs."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from carousel.engine.decoder import Decoder
from carousel.engine.extension import instruction_sets
from carousel.storage.config import Config
from carousel.storage.number_formats import cast_weights

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the kernels are not built")

V, H = 6000, 160
SECONDS = 60


def make(threads=1, seed=0):
    """A decoder whose products are large enough to be shared."""
    config = Config("lstm", V, 40, H, 1, tied=False)
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.normal(scale=0.3, size=shape).astype(np.float32)
        for name, shape in config.weight_shapes().items()
    }
    decoder = Decoder(config, cast_weights(weights, "float32"))
    decoder.threads = threads
    return decoder


def run_program(program, **options):
    """Run Python lines after those that make a decoder with three threads."""
    setup = (
        "import os, sys, threading, time\n"
        "import numpy as np\n"
        f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "from test_threads import make\n"
        "decoder = make(threads=3)\n"
        "state = decoder.initial_state()\n"
        "decoder.step_top_k([1], state, 3)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", setup + program],
        capture_output=True, text=True, timeout=SECONDS, check=False, **options,
    )  # fmt: skip


def test_the_number_of_threads_changes_while_others_compute():
    alone, decoder = make(), make(threads=2)
    tokens = np.random.default_rng(0).integers(0, V, (4, 12))
    expected = [alone.score(row, alone.initial_state())[0] for row in tokens]
    done = threading.Event()

    def change():
        for count in range(10**6):
            decoder.threads = 1 + count % 4
            if done.is_set():
                return

    with ThreadPoolExecutor(5) as pool:
        changing = pool.submit(change)
        try:
            jobs = [
                pool.submit(lambda row=row: decoder.score(row, decoder.initial_state())[0])
                for row in tokens
                for _ in range(5)
            ]
            found = [job.result() for job in jobs]
        finally:
            done.set()
        changing.result()
    for n, log_probs in enumerate(found):
        np.testing.assert_allclose(log_probs, expected[n // 5], rtol=1e-6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize(
    "child",
    [
        "del decoder",
        "sys.exit()",
        "decoder.threads = 2; assert decoder.threads == 2",
        "decoder.step_top_k([1], state, 3)",
        "np.testing.assert_array_equal(decoder.step_top_k([1], state, 3)[1], expected)",
        "decoder.threads = 1; decoder.rank(state, 2); del decoder",
    ],
)
def test_a_forked_child_does_not_wait_for_threads_it_lacks(child):
    done = run_program(
        "expected = decoder.step_top_k([1], state, 3)[1]\n"
        "busy = [threading.Thread(target=lambda: [decoder.step_top_k([1], state, 3)\n"
        "                                         for _ in range(60)]) for _ in range(2)]\n"
        "[thread.start() for thread in busy]\n"
        "for _ in range(4):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        f"        {child}\n"
        "        sys.exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "[thread.join() for thread in busy]\n"
    )
    assert done.returncode == 0, done.stderr


def test_a_program_ends_while_a_daemon_thread_computes():
    for _ in range(2):
        done = run_program(
            "tokens = np.zeros((300, 1), np.int64)\n"
            "def work():\n"
            "    while True:\n"
            "        decoder.score(tokens, state)\n"
            "for _ in range(2):\n"
            "    threading.Thread(target=work, daemon=True).start()\n"
            "time.sleep(0.2)\n"
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(
    sys.platform != "linux" or "ASAN_OPTIONS" in os.environ,
    reason="limits as Linux has them; a sanitizer needs all addresses",
)
def test_fewer_threads_where_the_system_has_no_more():
    done = run_program(
        "import resource\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "limit = size + 40 * 2**20\n"  # a thread's stack takes 8 MiB of addresses
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "before = decoder.top_k(state, 5)[0]\n"
        "decoder.threads = 64\n"
        "assert 1 <= decoder.threads < 64, decoder.threads\n"
        "np.testing.assert_array_equal(decoder.top_k(state, 5)[0], before)\n"
    )
    assert done.returncode == 0, done.stderr


def test_an_output_may_lie_over_the_tokens():
    decoder = make()
    tokens = np.array([V - 1], np.int64)
    state = np.random.default_rng(0).uniform(-1, 1, (1, 2 * H)).astype(np.float32)
    expected = decoder.step(tokens, state)
    memory = np.zeros(2 * H, np.float32)
    overlapping = memory[:2].view(np.int64)
    for call in (
        lambda out: decoder.step(overlapping, state, out=out),
        lambda out: decoder.step_top_k(overlapping, state, 2, out=out)[0],
    ):
        overlapping[:] = tokens
        np.testing.assert_array_equal(call(memory[None]), expected)


def test_tokens_that_another_thread_changes_are_read_once():
    decoder = make()
    tokens = np.zeros((200, 1), np.int64)
    done = threading.Event()

    def change():
        while not done.is_set():
            tokens[:] = 2**60
            tokens[:] = 0

    expected = decoder.steps(np.zeros((200, 1), np.int64), decoder.initial_state())
    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(60):
            try:
                after = decoder.steps(tokens, decoder.initial_state())
            except IndexError:
                continue
            np.testing.assert_array_equal(after, expected)
    finally:
        done.set()
        changing.join()
