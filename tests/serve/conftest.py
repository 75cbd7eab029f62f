"""A server of two models that all tests of a file share."""

import pytest

from serve.servers import running


@pytest.fixture(scope="module")
def server():
    with running("stories-lstm", "stories-gru") as process:
        yield process


@pytest.fixture(scope="module")
def port(server):
    return server.port
