"""Each route answers what the library says, and refuses what it should."""

import json
import time

import pytest

import carousel
from carousel.cli import run
from serve.servers import ask, post, running

LM = carousel.load("stories-lstm")
TEXT = "krish likes pizza so he orders"


def words_of(predictions):
    return [{"word": word, "probability": p} for word, p in predictions]


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
@pytest.mark.parametrize("prefix", [None, "p", "zz"])
def test_next_words_are_the_librarys(port, name, prefix):
    status, found = post(port, "/v1/next", {"model": name, "text": TEXT, "k": 4, "prefix": prefix})
    wanted = carousel.load(name).next_words(TEXT, 4, prefix)
    assert (status, found["model"]) == (200, name)
    assert [row["word"] for row in found["words"]] == [word for word, _ in wanted]
    probabilities = [row["probability"] for row in found["words"]]
    assert probabilities == pytest.approx([p for _, p in wanted], rel=1e-5)


@pytest.mark.parametrize("kept_by", ["server", "client"])
def test_a_session_remembers_and_its_branch_goes_its_own_way(port, kept_by):
    session = LM.session()
    session.feed("krish likes pizza")
    _, opened = post(port, "/v1/sessions", {"text": "krish likes pizza", "kept_by": kept_by})
    assert opened["kept_by"] == kept_by
    _, branch = post(port, "/v1/sessions/branch", {"session": opened["session"]})
    _, fed = post(port, "/v1/sessions/feed", {"session": opened["session"], "text": "so he orders"})
    ids = LM.tokenizer.encode("but his friend")
    _, other = post(port, "/v1/sessions/feed", {"session": branch["session"], "tokens": ids})
    copy = session.copy()
    session.feed("so he orders")
    copy.feed("but his friend")
    for name, here in ((fed["session"], session), (other["session"], copy)):
        _, found = post(port, "/v1/next", {"session": name, "k": 5})
        assert found["words"] == words_of(here.next_words(5))
    if kept_by == "client":
        # The older token stands where it stood: it may be used again.
        _, found = post(port, "/v1/next", {"session": opened["session"], "k": 1})
        assert found["words"] != words_of(session.next_words(1))
    else:
        assert post(port, "/v1/sessions/close", {"session": fed["session"]})[1] == {"closed": True}
        assert post(port, "/v1/next", {"session": fed["session"]})[0] == 404


def test_tokens_and_back(port):
    status, found = post(port, "/tokenize", {"prompt": TEXT, "add_special_tokens": False})
    assert (status, found["tokens"]) == (200, LM.tokenizer.encode(TEXT))
    assert post(port, "/detokenize", {"tokens": found["tokens"]})[1] == {"prompt": TEXT}
    info = json.loads(ask(port, "GET", "/tokenizer_info")[2])
    assert info["vocab_size"] == LM.tokenizer.vocab_size
    eos = post(port, "/tokenize", {"prompt": info["eos_token"]})[1]["tokens"]
    assert eos == [LM.tokenizer.eol_id]


@pytest.mark.parametrize("more", [[], ["--clamp", "forget=0@pizza"], ["--compare", "pizza,soup"]])
def test_explanations_are_those_of_the_command(port, more, capsys):
    assert run(["explain", "stories-lstm", TEXT, "--json", *more]) == 0
    wanted = json.loads(capsys.readouterr().out)
    asked = {"texts": [TEXT]}
    if "--clamp" in more:
        asked["clamps"] = more[1:]
    if "--compare" in more:
        asked["compare"] = more[1].split(",")
    assert post(port, "/v1/explain", asked) == (200, wanted)


def test_the_page_and_nothing_else_of_the_disk(port):
    status, headers, content = ask(port, "GET", "/")
    assert status == 200
    assert b"<carousel-belt>" in content
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert json.loads(ask(port, "GET", "/models.json")[2])["models"][0] == "stories-lstm"
    weights = ask(port, "GET", "/models/stories-gru/model.safetensors")[2]
    folder = carousel.load("stories-gru").path
    assert weights == (folder / "model.safetensors").read_bytes()
    for path in (
        "/static_server.py", "/../errors.py", "/..%2ferrors.py", "/models/stories-gru/recipe.toml",
        "/models/x/config.json", "/lens", "/etc/passwd", "/models/stories-gru/..%2fREADME.md",
    ):  # fmt: skip
        assert ask(port, "GET", path)[0] == 404, path


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/next", b"{", 400, "not JSON"),
        ("/v1/next", b'{"text": "\xff\xfe"}', 400, "not JSON"),
        ("/v1/next", {}, 422, "either a text or a session"),
        ("/v1/next", {"text": "krish", "k": 0}, 422, "k: "),
        ("/v1/next", {"text": "krish", "k": 10**9}, 422, "k: "),
        ("/v1/next", {"text": "krish", "kk": 1}, 422, "kk: "),
        ("/v1/next", {"text": "zzz"}, 400, "none of the words"),
        ("/v1/next", {"session": "sess-none"}, 404, "no such session"),
        ("/v1/next", {"model": "none", "text": ""}, 404, "no such model"),
        ("/v1/completions", {"prompt": "krish", "n": 10**9}, 422, "n: "),
        ("/v1/completions", {"prompt": "krish", "max_tokens": 10**9}, 422, "max_tokens: "),
        ("/v1/completions", {"prompt": "krish", "logprobs": 10**9}, 422, "logprobs: "),
        ("/v1/completions", {"prompt": [[1]] * 129}, 422, "prompt: List should have at most 128"),
        ("/v1/completions", {"prompt": []}, 422, "prompt: List should have at least 1 item, not 0"),
        ("/v1/completions", {"prompt": ["a", 1]}, 422, "prompt.1: Input should be a valid string"),
        ("/v1/completions", {"prompt": [[1], [-1]]}, 422, "prompt.1.0: Input should be greater"),
        ("/v1/chat/completions", {"messages": []}, 404, "no such path"),
        ("/v1/completions", {"prompt": ["krish"] * 100, "n": 2}, 422, "n times"),
        ("/v1/completions", {"prompt": [10**6]}, 400, "no token"),
        ("/v1/completions", {"prompt": "krish", "presence_penalty": 1}, 422, "presence_penalty"),
        ("/v1/completions", {"prompt": "krish " * 70000}, 422, "at most 65536 tokens"),
        ("/v1/sessions/feed", {"session": "state-forged", "text": "a"}, 400, "not made by"),
        ("/detokenize", {"tokens": [-1]}, 422, "tokens"),
        ("/v1/explain", {"texts": ["krish " * 300]}, 422, "at most 200 tokens"),
        ("/v1/explain", {"texts": [TEXT], "clamps": ["nothing=1"]}, 400, "nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_openais_shape(port, path, body, status, words):
    found, answer = post(port, path, body)
    assert found == status, answer
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert words in answer["error"]["message"]


def test_other_methods_kinds_of_bodies_and_names_of_this_machine_are_refused(port):
    status, _, content = ask(port, "GET", "/v1/next")
    assert (status, json.loads(content)["error"]["code"]) == (405, "method_not_allowed")
    assert ask(port, "DELETE", "/v1/models")[0] == 405
    assert ask(port, "PUT", "/lens")[0] == 404
    for path in ("/health", "/ready", "/"):
        status, _, content = ask(port, "HEAD", path)
        assert (status, content) == (200, b"")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert ask(port, "POST", "/v1/next", b'{"text": ""}', form)[0] == 415
    assert ask(port, "GET", "/v1/models", headers={"Host": "evil.example"})[0] == 403
    assert (
        "access-control-allow-origin"
        not in ask(port, "GET", "/v1/models", headers={"Origin": "https://evil.example"})[1]
    )


def test_metrics_count_what_was_asked(port):
    def number(name):
        text = ask(port, "GET", "/metrics")[2].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def all_numbers():
        return [
            number('carousel_requests_total{route="/v1/next",status="200"}'),
            number('carousel_tokens_total{kind="prompt"}'),
            number('carousel_tokens_total{kind="completion"}'),
            number("carousel_sessions "),
        ]

    before = all_numbers()
    post(port, "/v1/next", {"text": "krish likes"})
    post(port, "/v1/completions", {"prompt": "krish", "max_tokens": 3})
    post(port, "/v1/sessions", {})
    after = all_numbers()
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 3, 3, 1]
    assert number("carousel_queue ") == 0


def test_keys_origins_and_logs_without_texts(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-somebody-1\na-key-of-somebody-2\n")
    log = {}
    with running(
        "stories-rnn", "--api-key-file", keys, "--cors-origin", "https://notes.example"
    ) as server:
        assert ask(server.port, "GET", "/health")[0] == 200
        for path in ("/", "/ready", "/metrics", "/v1/models", "/openapi.json", "/models.json"):
            status, headers, _ = ask(server.port, "GET", path)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer"), path
        for key in ("", "a-key-of-somebody-", "a-key-of-somebody-3", "é"):
            wrong = {"Authorization": f"Bearer {key}".encode()}
            assert ask(server.port, "GET", "/v1/models", headers=wrong)[0] == 401
        for number in (1, 2):
            right = {"Authorization": f"Bearer a-key-of-somebody-{number}"}
            assert ask(server.port, "GET", "/v1/models", headers=right)[0] == 200
        origin = {"Origin": "https://notes.example", **right}
        status, headers, _ = ask(
            server.port, "POST", "/v1/next", {"text": "krish likes secret"}, origin
        )
        assert headers["Access-Control-Allow-Origin"] == "https://notes.example"
        ask(server.port, "GET", "/my-secret-path?secret=1", headers=right)
        log = server
        time.sleep(0.1)
    lines = [json.loads(line) for line in log.log.splitlines()]
    assert [line["route"] for line in lines[-2:]] == ["/v1/next", "other"]
    assert {"time", "request", "method", "route", "status", "ms"} == set(lines[0])
    assert "secret" not in log.log
    assert "somebody" not in log.log
