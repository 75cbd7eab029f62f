"""The page's modules, run by Node.js on models and texts that Python has described."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from web.fixtures import write_fixtures

HERE = Path(__file__).parent
OLDEST = (20, 19)
"""The first Node.js that takes ES modules as they are in ``web/``."""


@pytest.fixture(scope="session")
def node():
    """Where Node.js is."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no Node.js here: the page's modules are not tested")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    numbers = tuple(map(int, re.findall(r"\d+", version.stdout)[:2]))
    if numbers < OLDEST:
        pytest.skip(f"Node.js {version.stdout.strip()} is older than {OLDEST[0]}.{OLDEST[1]}")
    return found


@pytest.fixture(scope="session")
def fixtures(tmp_path_factory):
    """A folder of what Python says."""
    folder = tmp_path_factory.mktemp("page")
    write_fixtures(folder)
    return folder


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.test.mjs")))
def test_node(name, node, fixtures):
    done = subprocess.run(
        [node, "--no-warnings", "--test", "--test-reporter=tap", str(HERE / name)],
        env={"PATH": str(Path(node).parent), "CAROUSEL_FIXTURES": str(fixtures)},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    # A file without tests passes, too.
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0, done.stdout[-2000:]
