"""The example client of docs/serving.md, as its users run it."""

import subprocess
import sys
from pathlib import Path

import carousel
from serve.servers import post, running

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "examples" / "suggestions.py"
LINES = ("krish likes pizza but he does not like burger", "so he orders pizza")


def test_it_is_the_one_of_the_page_and_short():
    code = CLIENT.read_text(encoding="utf-8")
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    assert f"```python\n{code}```" in page
    assert len(code.splitlines()) <= 40


def follow(port, before_line):
    """The client's lines for each line of the text; ``before_line`` is called before each."""
    command = [sys.executable, "-I", CLIENT, f"http://127.0.0.1:{port}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as client:
        answers = []
        for line in LINES:
            before_line()
            client.stdin.write(line + "\n")
            client.stdin.flush()
            answers += [client.stdout.readline().rstrip("\n") for _ in line.split()]
        client.stdin.close()
        assert client.stderr.read() == ""
    assert client.returncode == 0
    return answers


def test_it_offers_what_the_library_offers(port):
    session, wanted = carousel.load("stories-lstm").session(), []
    for line in LINES:
        for word in line.split():
            words = [row.word for row in session.next_words(3, prefix=word[0])]
            wanted.append(" ".join([word, "|", *words]))
            session.feed(word)
        session.feed("\n")
    assert follow(port, lambda: None) == wanted


def test_it_reads_its_text_again_where_the_server_has_forgotten_it(port):
    wanted = follow(port, lambda: None)
    with running("stories-lstm", "--max-sessions", "1", "--no-access-log") as server:
        # The one session that the server keeps is then another client's.
        found = follow(server.port, lambda: post(server.port, "/v1/sessions", {"text": "paul"}))
    assert found == wanted
