"""One browser and one server for all tests of the page."""

import pytest

from web.browser import Visit, chromium, served, story_folders


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def address():
    with served(story_folders()) as found:
        yield found


@pytest.fixture
def visit(browser, address):
    """A visit of the page at 1440 x 900; any complaint of the browser fails the test."""
    found = Visit(browser, address)
    yield found
    found.page.close()
    assert found.complaints == []
