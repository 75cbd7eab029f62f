"""More requests at once than a server takes: each is answered, and told when to come again."""

import collections
import concurrent.futures
import contextlib
import json
import socket
import threading

import pytest
import uvicorn

from carousel.serve import gate, limits, scheduler, server
from carousel.serve.app import ServerSettings
from serve.servers import ask, until_ready

CLIENTS, REQUESTS = 48, 240
HEAD = b"POST /v1/next HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LONG = {"prompt": "krish likes", "max_tokens": 150, "n": 2, "seed": 1}


@contextlib.contextmanager
def served_here(settings):
    """A server in a thread of this process, so that a test can lower its limits."""
    listener = server._listen("127.0.0.1", 0)
    own = uvicorn.Server(server._configure(settings))
    thread = threading.Thread(target=own.run, args=([listener],))
    thread.start()
    try:
        port = listener.getsockname()[1]
        until_ready(port)
        yield port
    finally:
        own.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def port():
    """A server that takes 30 connections, 12 requests at once and 6 pieces of work of a model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_CONNECTIONS", 30)
        patch.setattr(gate, "MAX_REQUESTS", 12)
        patch.setattr(scheduler, "MAX_WAITING", 6)
        with served_here(ServerSettings(("stories-lstm",), access_log=False)) as port:
            yield port


def test_each_request_is_answered_or_told_to_come_again(port):
    def complete(number):
        stream = number % 2 == 0
        body = {**LONG, "stream": stream}
        status, headers, content = ask(port, "POST", "/v1/completions", body)
        if status != 200:
            error = json.loads(content)["error"]
            assert set(error) == {"message", "type", "param", "code"}
            return status, headers["Retry-After"], error["message"].partition(":")[0]
        if stream:
            assert content.endswith(b"data: [DONE]\n\n")
            events = [json.loads(line[6:]) for line in content.split(b"\n\n")[:-2]]
            texts = ["", ""]
            for event in events:
                for choice in event["choices"]:
                    texts[choice["index"]] += choice["text"]
        else:
            texts = [choice["text"] for choice in json.loads(content)["choices"]]
        return status, None, tuple(texts)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(complete, range(REQUESTS)))
    count = collections.Counter((status, retry) for status, retry, _ in answers)
    assert len(answers) == REQUESTS
    assert (200, None) in count
    assert set(count) <= {(200, None), (429, "1"), (503, "1")}
    # Whole or in a stream, beside whatever else was asked: the same two texts.
    assert len({texts for status, _, texts in answers if status == 200}) == 1
    print(f"{REQUESTS} requests of {CLIENTS} clients:", dict(sorted(count.items())))


def count_refusals(port):
    metrics = ask(port, "GET", "/metrics")[2].decode().splitlines()
    name = 'carousel_requests_total{route="other",status="503"}'
    return sum(float(line.split()[-1]) for line in metrics if line.startswith(name))


@pytest.mark.parametrize(
    ("held", "content", "message"),
    [
        (12, HEAD + b"Content-Length: 100\r\n\r\n", "too many requests are under way"),
        (30, b"", "too many connections are open"),
    ],
)
def test_one_more_than_it_takes_is_told_so(port, held, content, message):
    before = count_refusals(port)
    with contextlib.ExitStack() as stack:
        for _ in range(held):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            stack.enter_context(client).sendall(content)
        # They may arrive a moment later than this one.
        answers = [ask(port, "POST", "/v1/next", {"text": "krish"}) for _ in range(20)]
    status, headers, body = answers[-1]
    assert (status, headers["Retry-After"]) == (503, "1")
    assert json.loads(body)["error"]["message"].startswith(message)
    until_ready(port)
    assert count_refusals(port) > before


def test_work_that_was_refused_leaves_nothing_behind(port):
    """Of 7 texts 6 find room: the request is refused as a whole, and the 6 stop."""
    for stream in (False, True):
        body = {**LONG, "max_tokens": 4096, "n": 7, "stream": stream}
        assert ask(port, "POST", "/v1/completions", body)[0] == 429
        body = {**LONG, "n": 6, "stream": stream, "max_tokens": 2}
        for _ in range(100):
            status = ask(port, "POST", "/v1/completions", body)[0]
            if status == 200:
                break
        assert status == 200
    metrics = ask(port, "GET", "/metrics")[2].decode()
    assert "carousel_queue 0.0" in metrics
