"""What the demo ends with."""

import io
import sys

import pytest

from carousel.cli import demo, page

FOLDERS = ["demo/stories-lstm", "demo/stories-gru", "demo/stories-rnn"]


class Terminal(io.StringIO):
    """Someone who can answer."""

    def isatty(self):
        return True


@pytest.fixture
def served(monkeypatch):
    calls = []
    monkeypatch.setattr(page, "serve_page", lambda folders: calls.append(list(folders)))
    return calls


def test_a_script_is_shown_the_command(served, capsys):
    demo.offer_page(FOLDERS)
    said = capsys.readouterr().out
    assert said.replace("\\", "").split()[-5:] == ["carousel", "page", *FOLDERS]
    assert max(map(len, said.splitlines())) <= 60
    assert served == []


@pytest.mark.parametrize(("answer", "opened"), [("", [FOLDERS]), ("y", [FOLDERS]), ("n", [])])
def test_a_person_is_asked(answer, opened, served, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr(sys, "stdout", Terminal())
    demo.offer_page(FOLDERS)
    assert served == opened
    assert "Open the page on these three models?" in sys.stdout.getvalue()
