"""What clients and machines do wrong: each fault with its count, and the server goes on."""

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

import carousel
from serve.servers import ask, post, running, send

LM = carousel.load("stories-lstm")
HEAD = b"POST /v1/next HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LONG_STREAM = {"prompt": "krish", "max_tokens": 4096, "stream": True, "seed": 1}


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def is_well(port):
    status, found = post(port, "/v1/next", {"text": "krish likes", "k": 1})
    return status == 200 and len(found["words"]) == 1


def metric(port, name):
    text = ask(port, "GET", "/metrics")[2].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def eventually(check):
    for _ in range(400):
        if check():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_200_slow_senders_are_given_up_and_hold_up_nobody(port):
    clients = [connected(port) for _ in range(200)]
    for number, client in enumerate(clients):
        # Half of them never finish the head, half never finish the body.
        client.sendall(HEAD if number % 2 else HEAD + b"Content-Length: 100\r\n\r\n{")
    assert all(is_well(port) for _ in range(20))
    start = time.monotonic()
    while time.monotonic() - start < 13:
        time.sleep(1)
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(b"x")
    answers = []
    for client in clients:
        # A connection that is still open ends the test here.
        client.settimeout(10)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(4096):
                answer += part
        answers.append(answer[:12])
        client.close()
    print(f"{len(answers)} slow senders, none left")
    assert set(answers[0::2]) <= {b"HTTP/1.1 408", b""}
    assert set(answers[1::2]) == {b""}
    assert is_well(port)


def test_a_body_of_a_gigabyte_is_refused_when_it_is_announced_and_when_it_is_sent(server):
    port = server.port
    before = resident_bytes(server.pid)
    refused = 0
    with connected(port) as client:
        client.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        refused += b" 413 " in client.recv(4096)
    with connected(port) as client:
        client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 10**9 and not has_answer(client):
                client.sendall(chunk)
                sent += 65536
        refused += b" 413 " in client.recv(4096)
    assert refused == 2
    assert sent < 10**8
    assert resident_bytes(server.pid) - before < 64 * 2**20
    assert is_well(port)
    print(f"{refused} bodies of 1 GB refused, after {sent:,} bytes of the second")


def has_answer(client):
    client.setblocking(False)
    try:
        return bool(client.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        client.settimeout(60)


def resident_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_broken_bodies_are_400_or_422(port):
    rng = random.Random(0)
    deep = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    bodies = [deep, deep.replace(b"[", b'{"a":'), b"", b"null", b"[]", b"1e999", b'{"k": NaN}']
    bodies += [b'{"text": "a", "k": ' + b"9" * 5000 + b"}", b'{"text": "\\ud800"}', b"\xff" * 100]
    bodies += [rng.randbytes(rng.randrange(1, 200)) for _ in range(90)]
    statuses = []
    for path in ("/v1/next", "/v1/completions"):
        statuses += [ask(port, "POST", path, body)[0] for body in bodies]
    assert set(statuses) <= {400, 422}
    assert is_well(port)
    print(f"{len(statuses)} broken bodies")


def test_sizes_of_a_billion_are_refused_before_anything_is_made_for_them(server):
    before, statuses = resident_bytes(server.pid), []
    for path, names in {
        "/v1/completions": ("n", "max_tokens", "logprobs", "best_of", "temperature", "seed"),
        "/v1/next": ("k",),
    }.items():
        for name in names:
            for size in (10**9, 10**30, -(10**9)):
                body = {"prompt" if "comp" in path else "text": "krish", name: size}
                if (name, size) in (("seed", 10**9), ("seed", -(10**9))):
                    continue  # a seed may be large
                statuses.append(post(server.port, path, body)[0])
    assert set(statuses) == {422}
    assert resident_bytes(server.pid) - before < 16 * 2**20
    print(f"{len(statuses)} sizes of a billion and more")


def test_work_stops_when_the_client_has_gone(port):
    count = 0
    for number in range(10):
        with connected(port) as client:
            body = json.dumps({**LONG_STREAM, "stream": number % 2 == 0, "n": 4}).encode()
            head = HEAD.replace(b"/v1/next", b"/v1/completions")
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if number % 2 == 0:
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            else:
                time.sleep(0.05)
        count += 1
    assert eventually(lambda: metric(port, "carousel_queue ") == 0)
    assert metric(port, 'carousel_tokens_total{kind="completion"}') < 10 * 4 * 4096 / 2
    print(f"{count} clients gone in mid-stream, no work left")


def test_10_000_interleaved_requests_of_sessions_are_as_those_of_single_ones(port):
    """Sessions of the server and of clients, fed and asked in turn over 8 connections."""
    words = [word for word in LM.tokenizer.tokens()[2:] if word.isalpha()]
    sessions, rounds = 250, 20
    texts = [random.Random(seed).choices(words, k=rounds) for seed in range(sessions)]

    def wanted(seed):
        session, answers = LM.session(), []
        for word in texts[seed]:
            session.feed(word)
            answers.append([{"word": w, "probability": p} for w, p in session.next_words(3)])
        return answers

    def over_one_connection(part):
        """Each round feeds and asks every session of this connection, in another order."""
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def request(path, body):
            status, _, content = send(client, "POST", path, body)
            assert status == 200, content
            return json.loads(content)

        names, answers, rng = {}, {seed: [] for seed in part}, random.Random(part[0])
        for seed in part:
            kept_by = "client" if seed % 2 else "server"
            names[seed] = request("/v1/sessions", {"kept_by": kept_by})["session"]
        for turn in range(rounds):
            for seed in rng.sample(part, len(part)):
                body = {"session": names[seed], "text": texts[seed][turn]}
                names[seed] = request("/v1/sessions/feed", body)["session"]
            for seed in rng.sample(part, len(part)):
                body = {"session": names[seed], "k": 3}
                answers[seed].append(request("/v1/next", body)["words"])
        client.close()
        return answers

    parts = [list(range(first, sessions, 8)) for first in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = {}
        for answers in pool.map(over_one_connection, parts):
            found |= answers
    assert found == {seed: wanted(seed) for seed in range(sessions)}
    print(f"{2 * sessions * rounds:,} interleaved requests, equal bit for bit")


def test_sigterm_in_mid_stream_readiness_goes_first_and_streams_finish():
    with running("stories-lstm", "--no-access-log") as server:
        _, kept = post(server.port, "/v1/sessions", {"text": "krish", "kept_by": "client"})
        streams = []
        for seed in range(4):
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            body = json.dumps({**LONG_STREAM, "max_tokens": 2000, "seed": seed})
            client.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
            streams.append((client, client.getresponse()))
        server.send_signal(signal.SIGTERM)
        assert eventually(lambda: ask(server.port, "GET", "/ready")[0] == 503)
        assert is_well(server.port)  # for a moment, until the balancer has seen it
        ends = []
        for client, answer in streams:
            ends.append(answer.read().strip().splitlines()[-1])
            client.close()
        assert ends == [b"data: [DONE]"] * 4
        assert server.wait(timeout=60) == 0
    assert kept["session"].startswith("state-")
    print(f"{len(ends)} streams finished after SIGTERM")


def test_clients_sessions_survive_a_restart_and_go_to_another_machine(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("a secret that both servers know\n")
    with running("stories-lstm", "--session-key-file", keys) as one:
        body = {"text": "krish likes pizza so he", "kept_by": "client"}
        token = post(one.port, "/v1/sessions", body)[1]["session"]
    with running("stories-lstm", "--session-key-file", keys) as two:
        fed = post(two.port, "/v1/sessions/feed", {"session": token, "text": "orders"})[1]
        found = post(two.port, "/v1/next", {"session": fed["session"], "k": 1})[1]
    assert found["words"][0]["word"] == "pizza"
    with running("stories-lstm") as foreign:
        assert post(foreign.port, "/v1/next", {"session": token})[0] == 400


def test_a_killed_worker_is_replaced_and_clients_sessions_go_on(tmp_path):
    with running("english", "--workers", "2", "--no-access-log") as server:
        port = server.port
        assert post(port, "/v1/sessions", {"kept_by": "server"})[0] == 400
        session = post(port, "/v1/sessions", {"text": "krish likes pizza so he"})[1]
        assert session["kept_by"] == "client"
        workers = children(server.pid)
        assert len(workers) == 2
        assert eventually(lambda: all(map(shares_weights, workers)))
        os.kill(workers[0], signal.SIGKILL)
        kills, answered = 1, 0
        for _ in range(40):
            with contextlib.suppress(OSError, http.client.HTTPException):
                body = {"session": session["session"], "text": "orders"}
                fed = post(port, "/v1/sessions/feed", body)[1]
                answered += post(port, "/v1/next", {"session": fed["session"]})[0] == 200
            time.sleep(0.05)
        assert answered >= 20
        assert eventually(lambda: len(set(children(server.pid)) - {workers[0]}) == 2)
        assert is_well(port)
    print(f"{kills} worker killed, {answered} of 40 answers beside it")


def shares_weights(pid):
    """Whether a process has mapped the weights' file, of which there is then one copy in memory."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return any("r--s" in line and "model.safetensors" in line for line in maps)


def children(pid):
    """The workers: child processes that serve (multiprocessing's own helper is none)."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
    return found


def test_a_model_folder_that_is_replaced_while_it_is_served(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(carousel.load("stories-lstm").path, folder)
    asked = {"text": "krish likes pizza so he orders", "k": 5}
    with running(folder, "--no-access-log") as server:
        before = post(server.port, "/v1/next", asked)
        wrong = 0
        stop = threading.Event()

        def replace():
            for number in range(10):
                name = "stories-gru" if number % 2 == 0 else "stories-rnn"
                carousel.load(name).save(folder, force=True)
            stop.set()

        thread = threading.Thread(target=replace)
        thread.start()
        count = 0
        while not stop.is_set() or count < 20:
            wrong += post(server.port, "/v1/next", asked) != before
            count += 1
        thread.join()
    assert wrong == 0
    print(f"a folder replaced 10 times, {count} answers as before")


def test_too_many_requests_at_once_are_told_to_come_again(monkeypatch):
    from carousel.serve import gate as module
    from carousel.serve.metrics import Metrics

    monkeypatch.setattr(module, "MAX_REQUESTS", 5)

    async def slow(scope, receive, send):
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def request(gate):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await gate(scope, None, send)
        return sent[0]

    async def run():
        gate = module.Gate(slow, Metrics(), api_keys=[], local_names_only=False, access_log=False)
        return await asyncio.gather(*(request(gate) for _ in range(8)))

    answers = asyncio.run(run())
    assert sorted(answer["status"] for answer in answers) == [200] * 5 + [503] * 3
    refused = [answer for answer in answers if answer["status"] == 503]
    assert all((b"retry-after", b"1") in answer["headers"] for answer in refused)
