"""The HTTP server under load, from this machine: typists, next words, streams, sessions.

    python benchmarks/serve.py [--model DIR] [--seconds N] [--minutes N] [--json]

A server is started with one worker, and asked over loopback by a generator that never has more
requests under way than it says. Times are what the clients see. Without --model, the model is the
int8 keyboard model of ``benchmarks/decode.py``, with weights drawn at random.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from carousel.engine.decoder import Decoder
from carousel.model import LanguageModel
from carousel.pretrained import find_folder
from decoding.models import write_models

TYPISTS, KEYS_A_SECOND = 64, 5
STREAMS, STREAM_TOKENS = 32, 512
CLIENTS = (1, 8, 32)
SESSIONS = 50_000
JSON = "content-type: application/json\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", help="a model folder")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=0, help="how long sessions come and go")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="how many sessions come")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        model = given.model or str(write_models("keyboard", Path(place))["int8"])
        words = some_words(model)
        figures: dict[str, Any] = {"model": Path(model).name, "engine": engine_rate(model)}
        with served(model) as (port, process):
            figures["next"] = asyncio.run(next_rate(port, words, given.seconds))
            figures["typists"] = asyncio.run(typists(port, words, given.seconds))
            figures["streams"] = asyncio.run(streams(port))
            figures["memory"] = asyncio.run(
                sessions(port, process.pid, words, given.sessions, 60 * given.minutes)
            )
    if given.json:
        print(json.dumps(figures))
    else:
        show(figures)


def some_words(model: str) -> list[str]:
    tokenizer = LanguageModel.load(model).tokenizer
    return [word for word in tokenizer.tokens()[2:] if word.isalpha()][:2000]


def engine_rate(model: str) -> dict[str, float]:
    """What the engine does alone, in this process, with one thread."""
    decoder = Decoder.open(find_folder(model))
    state, k = decoder.initial_state(), 12
    rates = {}
    for name, do in {
        "step and best words": lambda: decoder.step_top_k([2], state, k),
        "best words": lambda: decoder.top_k(state, k),
    }.items():
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < 1:
            do()
            count += 1
        rates[name] = count / (time.perf_counter() - start)
    return rates


@contextlib.contextmanager
def served(model: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server on a free port."""
    command = [sys.executable, "-m", "carousel", "serve", model, "--port", "0", "--no-access-log"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline()
        port = int(re.search(r":(\d+)/", address)[1])  # type: ignore[index]
        asyncio.run(wait_until_ready(port))
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


async def wait_until_ready(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            client = await Client.open(port)
            await client.get("/ready")
            client.close()
            return
        await asyncio.sleep(0.05)
    raise SystemExit("the server is not ready after 30 seconds")


class Client:
    """One connection that is kept; no more of HTTP than is needed, so that it costs little."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str) -> bytes:
        return await self._ask(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    async def post(self, path: str, body: Any) -> Any:
        return json.loads(await self._ask(self.request(path, body)))

    def request(self, path: str, body: Any) -> bytes:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{JSON}content-length: {len(content)}"
        return head.encode() + b"\r\n\r\n" + content

    async def _ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        content = await self.reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head[:15]!r}: {content[:200]!r}")
        return content

    def close(self) -> None:
        self.writer.close()


async def next_rate(port: int, words: list[str], seconds: float) -> dict[str, Any]:
    """The most ``/v1/next`` of a session a second, for so many clients that ask at once."""
    rates = {}
    for count in CLIENTS:
        answered = 0
        end = time.perf_counter() + seconds / len(CLIENTS)

        async def ask(end: float = end) -> None:
            nonlocal answered
            client = await Client.open(port)
            opened = await client.post("/v1/sessions", {"text": " ".join(words[:5])})
            body = {"session": opened["session"], "k": 3}
            while time.perf_counter() < end:
                await client.post("/v1/next", body)
                answered += 1
            client.close()

        start = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(count)))
        rates[f"{count} clients"] = answered / (time.perf_counter() - start)
    return rates


async def typists(port: int, words: list[str], seconds: float) -> dict[str, Any]:
    """Typists of five keys a second: each key asks for words, each space feeds one.

    A time begins when the key is due, so that a late generator counts against the server.
    """
    times: list[float] = []
    start = time.perf_counter() + 0.5

    async def type_on(seed: int) -> None:
        rng = random.Random(seed)
        client = await Client.open(port)
        session = (await client.post("/v1/sessions", {}))["session"]
        due, word, typed = start + rng.random() / KEYS_A_SECOND, rng.choice(words), 0
        while due < start + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if typed == len(word):
                fed = await client.post("/v1/sessions/feed", {"session": session, "text": word})
                session, word, typed = fed["session"], rng.choice(words), 0
            else:
                typed += 1
            body = {"session": session, "prefix": word[:typed], "k": 3}
            await client.post("/v1/next", body)
            times.append(time.perf_counter() - due)
            due += 1 / KEYS_A_SECOND
        client.close()

    await asyncio.gather(*(type_on(seed) for seed in range(TYPISTS)))
    sent = len(times)
    p50, p95, p99 = (1000 * np.percentile(times, q) for q in (50, 95, 99))
    return {"keys": sent, "a second": sent / seconds, "p50 ms": p50, "p95 ms": p95, "p99 ms": p99}


async def streams(port: int) -> dict[str, Any]:
    """A stream of 512 tokens to each of 32 clients at once."""
    events = [0] * STREAMS
    first: list[float] = []

    async def follow(number: int) -> None:
        client = await Client.open(port)
        body = {"prompt": "", "max_tokens": STREAM_TOKENS, "stream": True, "seed": number}
        client.writer.write(client.request("/v1/completions", body))
        start = time.perf_counter()
        async for line in client.reader:
            if line.startswith(b"data: {"):
                if not events[number]:
                    first.append(time.perf_counter() - start)
                events[number] += 1
            elif line.startswith(b"data: [DONE]"):
                break
        client.close()

    start = time.perf_counter()
    await asyncio.gather(*map(follow, range(STREAMS)))
    seconds = time.perf_counter() - start
    return {
        "clients": STREAMS, "tokens each": STREAM_TOKENS, "events": sum(events),
        "seconds": seconds, "tokens a second": STREAMS * STREAM_TOKENS / seconds,
        "first piece ms (worst)": 1000 * max(first),
    }  # fmt: skip


async def sessions(
    port: int, pid: int, words: list[str], count: int, seconds: float
) -> dict[str, Any]:
    """Memory while sessions come and go: each is opened, fed a word and asked once.

    The server keeps 10,000 of them; after that many, memory should stay as it is.
    """
    memory: list[tuple[int, float]] = []
    opened = 0
    start = time.perf_counter()

    async def come_and_go(seed: int) -> None:
        nonlocal opened
        rng = random.Random(seed)
        client = await Client.open(port)
        while opened < count:
            opened += 1
            if opened % max(1, count // 20) == 0:
                memory.append((opened, resident_megabytes(pid)))
            session = (await client.post("/v1/sessions", {"text": rng.choice(words)}))["session"]
            await client.post("/v1/sessions/feed", {"session": session, "text": rng.choice(words)})
            await client.post("/v1/next", {"session": session, "k": 3})
            behind = start + seconds * opened / count - time.perf_counter()
            if behind > 0:
                await asyncio.sleep(behind)
        client.close()

    await asyncio.gather(*map(come_and_go, range(8)))
    full = [size for number, size in memory if number > 10_000] or [memory[-1][1]]
    return {
        "sessions": opened, "minutes": (time.perf_counter() - start) / 60,
        "MB at the start": memory[0][1], "MB when full": full[0], "MB at the end": full[-1],
        "MB on the way": " ".join(f"{size:.0f}" for _, size in memory),
    }  # fmt: skip


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def show(figures: dict[str, Any]) -> None:
    for name, part in figures.items():
        if not isinstance(part, dict):
            print(f"{name}: {part}")
            continue
        shown = (f"{key} {value:,.1f}" if isinstance(value, float) else f"{key} {value}"
                 for key, value in part.items())  # fmt: skip
        print(f"{name}: {', '.join(shown)}")


if __name__ == "__main__":
    main()
