"""A model in a worker of a real browser answers as one in the page's own thread does."""

import pytest

from web.browser import STORIES, SWITCH

ASK = """
async ([model, text, inWorker]) => {
  const { openReader } = await import('/lens/reader.js');
  const { atStrength } = await import('/lens/sweep.js');
  const reader = await openReader(model, () => '/lens/reader_worker.js', { worker: inWorker });
  const ids = reader.tokenizer.encode(text).map((token) => token.id);
  const [pizza, burger] = ['pizza', 'burger'].map((word) => reader.tokenizer.id(word));
  const gate = reader.config.cell === 'lstm' ? 'f' : reader.config.cell === 'gru' ? 'z' : 'h';
  const place = { layer: 0, gate, units: null, from: 5, to: 8 };
  const hold = atStrength({ ...place, kind: 'toward', value: 1, strength: 0 }, 0.7);
  const trace = await reader.trace(ids);
  const held = await reader.trace(ids, [hold]);
  const last = held.length - 1;
  const found = {
    hash: reader.hash,
    ids,
    values: { ...held.values },
    logits: await reader.logits(trace.hiddenAt(last)),
    words: await reader.nextWords(held, last, { k: 3 }),
    typed: await reader.nextWords(trace, last, { prefix: 'p' }),
    sweep: await reader.sweep(trace, hold, [-1, 0, 0.5, 1], pizza, burger),
    direction: await reader.direction(pizza, burger),
    order: await Promise.all(
      ids.map(async (_, n) => (await reader.trace(ids.slice(0, n))).length),
    ),
  };
  reader.close();
  return JSON.stringify(found, (_, value) =>
    ArrayBuffer.isView(value) ? Array.from(value) : value,
  );
}
"""
REFUSED = """
async (model) => {
  const { openReader } = await import('/lens/reader.js');
  const { RecurrentLM } = await import('/model/recurrent_lm.js');
  const failed = (error) => `${error.name}: ${error.message}`;
  return [
    await openReader(model, () => '/lens/reader_worker.js', { worker: true }).catch(failed),
    await RecurrentLM.load(model).catch(failed),
  ];
}
"""


@pytest.fixture
def page(browser, address):
    """A blank page of the server's origin in Chromium."""
    page = browser.new_page()
    # A browser asks for a page's icon once, and a script shown as text has none.
    page.route("**/favicon.ico", lambda route: route.fulfill(body=b""))
    page.goto(address + "types.js")
    yield page
    page.close()


@pytest.mark.parametrize("name", STORIES)
def test_worker_answers_as_the_page_does(name, page):
    errors = []
    page.on("console", lambda message: errors.append(f"{message.location['url']}: {message.text}"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    here, there = (page.evaluate(ASK, [f"/models/{name}", SWITCH, way]) for way in (False, True))
    assert here == there
    assert '"word":' in here
    assert not errors


def test_worker_refuses_what_is_no_model(page):
    for line in page.evaluate(REFUSED, "/models/nothing"):
        assert line.startswith("CarouselError: ")
        assert "is missing" in line
        assert "\n" not in line
