"""A server in a process of its own, and the plainest client."""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time

JSON = {"Content-Type": "application/json"}


@contextlib.contextmanager
def running(*arguments):
    """`carousel serve ARGUMENTS` on a free port, until the block ends; it must end in order."""
    command = [sys.executable, "-m", "carousel", "serve", *map(str, arguments), "--port", "0"]
    # A pipe that nobody reads would fill up with the log.
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline()
        assert line, read_all(log)
        process.port = int(re.search(r":(\d+)/", line)[1])
        until_ready(process.port)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        process.log = read_all(log)
        log.close()
    assert "Traceback" not in process.log, process.log


def read_all(file):
    """All of a file that another process has written."""
    file.seek(0)
    return file.read()


def until_ready(port):
    """Wait until it answers; with keys, that a key is asked for is an answer, too."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/ready")[0] in (200, 401):
                return
        time.sleep(0.05)
    raise AssertionError("the server is not ready")


def ask(port, method, path, body=None, headers=()):
    """One request on a connection of its own: the status, the headers and the body."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        return send(client, method, path, body, headers)


def send(client, method, path, body=None, headers=()):
    """One request on a connection that is kept."""
    content = body if isinstance(body, bytes | type(None)) else json.dumps(body)
    client.request(method, path, content, {**(JSON if body is not None else {}), **dict(headers)})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()


def post(port, path, body, headers=()):
    """The status and the JSON of an answer."""
    status, _, content = ask(port, "POST", path, body, headers)
    return status, json.loads(content)
