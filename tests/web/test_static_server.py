"""The server of the page: what it hands out, and what it does not."""

import http.client
import json
from pathlib import Path

import pytest

import carousel
from carousel.web.static_server import StaticServer
from web.browser import served


@pytest.fixture(scope="module")
def port():
    with served(
        {"stories-lstm": carousel.load("stories-lstm").path, "a b": Path("/nowhere")}
    ) as found:
        yield int(found.rstrip("/").rpartition(":")[2])


def ask(port, path, method="GET", host=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/index.html", "text/html"),
        ("/style.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/lens/belt.js", "text/javascript"),
        ("/words.json?x=1", "application/json"),
        ("/models.json", "application/json"),
        ("/models/stories-lstm/config.json", "application/json"),
        ("/models/stories-lstm/model.safetensors", "application/octet-stream"),
    ],
)
def test_files_have_their_types_and_the_policy(port, path, kind):
    answer, content = ask(port, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert len(content) == int(answer.headers["Content-Length"])
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    head, nothing = ask(port, path, "HEAD")
    assert (head.status, nothing) == (200, b"")


def test_models_are_listed_in_order(port):
    assert json.loads(ask(port, "/models.json")[1]) == {
        "models": ["stories-lstm", "a b"],
        "arguments": {},
    }


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../pyproject.toml",
        "/..%2f..%2fpyproject.toml",
        "/%2e%2e/cli/page.py",
        "/model/../../errors.py",
        "/static_server.py",
        "/__init__.py",
        "/model",
        "//etc/passwd",
        "/models/",
        "/models/stories-lstm",
        "/models/stories-lstm/",
        "/models/stories-lstm/recipe.toml",
        "/models/stories-lstm/../stories-gru/config.json",
        "/models/stories-lstm/%2e%2e%2fREADME.md",
        "/models/nothing/config.json",
        "/models/a%20b/config.json",
        "/app.js%00.html",
        "/./app.js",
    ],
)
def test_nothing_else_is_handed_out(port, path):
    answer, content = ask(port, path)
    assert answer.status == 404
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert b"Traceback" not in content


def test_only_this_machines_names_are_answered(port):
    assert ask(port, "/", host=f"localhost:{port}")[0].status == 200
    assert ask(port, "/", host=f"evil.example:{port}")[0].status == 403
    assert ask(port, "/models/stories-lstm/config.json", host="evil.example")[0].status == 403


def test_other_methods_are_refused(port):
    for method in ("POST", "PUT", "DELETE"):
        assert ask(port, "/", method)[0].status == 501


def test_it_listens_on_loopback_alone():
    with StaticServer({}) as server:
        assert server.server_address[0] == "127.0.0.1"
