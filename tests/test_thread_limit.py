"""Where the system gives no more threads, answers are right or errors are one line."""

import os
import shutil
import subprocess
import sys

import pytest

SETPRIV, PRLIMIT = shutil.which("setpriv"), shutil.which("prlimit")
CAPABILITIES = "-all,+dac_override,+dac_read_search"
USER = 61_234
"""A user without any process. Limits hold for all but root."""

pytestmark = pytest.mark.skipif(
    not (SETPRIV and PRLIMIT) or not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="a limit on the threads of another user needs Linux and root",
)


def call_with_threads(count, *words, cache, given=""):
    """Run Python as a user that may have so many threads in all."""
    capabilities = [f"--inh-caps={CAPABILITIES}", f"--ambient-caps={CAPABILITIES}"]
    command = [SETPRIV, f"--reuid={USER + count}", "--clear-groups", *capabilities]
    command += [PRLIMIT, f"--nproc={count}:{count}", "--", sys.executable, *words]
    # With a single thread NumPy's own library of products interrupts Python as it is imported.
    environment = os.environ | {"CAROUSEL_CACHE": str(cache), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )


ALL_THREADS = """
import carousel
for threads in (1, 8, None):
    model = carousel.load(threads=threads)
    print(model.next_words("krish likes pizza\\nso krish likes", k=1)[0].word)
"""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_engine_and_the_tokenizer_do_with_what_there_is(count, tmp_path):
    done = call_with_threads(count, "-c", ALL_THREADS, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_training_works_or_says_so_in_one_line(count, tmp_path):
    words = ["train", "-", "--out", str(tmp_path / "m"), "--hidden-size", "8", "--epochs", "0.1"]
    text = "the cat sat on the mat and the dog ran to the cat\n" * 40
    done = call_with_threads(count, "-m", "carousel", *words, cache=tmp_path / "cache", given=text)
    if done.returncode:
        assert done.returncode == 2
        assert done.stderr == "carousel: the system allows no more threads: raise its limit\n"
    else:
        assert "Saved in" in done.stdout
