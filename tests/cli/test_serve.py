"""``carousel serve``: what is wrong is one line, before anything is served."""

import socket

import pytest

from carousel.cli import run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing-here"], "nothing-here is not there"),
        (["stories-lstm", "stories-lstm"], "given twice"),
        (["stories-lstm", "--api-key-file", "nothing"], "nothing can't be read"),
        (["stories-lstm", "--session-minutes", "0"], "must be above 0"),
        (["stories-lstm", "--host", "256.1.1.1"], "can't be used"),
        ([], "MODEL"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words, capsys):
    assert run(["serve", *arguments]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert words in shown


def test_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "stories-lstm", "--port", str(port)]) == 2
    assert f"port {port} can't be used" in capsys.readouterr().err
