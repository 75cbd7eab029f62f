"""``carousel page``: it serves, opens the browser, and ends with Ctrl-C."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from urllib.request import urlopen

import carousel


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "carousel", "page", "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_page_serves_the_shipped_models_until_it_is_interrupted():
    process = start()
    try:
        line = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+/", line)[0]
        with urlopen(address + "models.json") as answer:
            assert json.load(answer)["models"][0] == "stories-lstm"
        with urlopen(address) as answer:
            assert b"<carousel-belt>" in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert err == ""


def test_page_of_ones_own_folders(tmp_path):
    shutil.copytree(carousel.load("stories-gru").path, tmp_path / "notes")
    process = start(str(tmp_path / "notes"), "stories-lstm")
    try:
        address = process.stdout.readline().split(" ")[0]
        with urlopen(address + "models.json") as answer:
            assert json.load(answer)["models"] == ["notes", "stories-lstm"]
        with urlopen(address + "models/notes/config.json") as answer:
            assert json.load(answer)["cell"] == "gru"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


def test_what_is_wrong_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments, words in (
            (["nothing-here"], "nothing-here is not there"),
            (["--port", str(port)], f"port {port} can't be used"),
        ):
            process = start(*arguments)
            _, err = process.communicate(timeout=30)
            assert process.returncode == 2
            assert err.count("\n") == 1
            assert words in err
