"""Sessions: those that the server keeps come and go; those of clients can't be forged."""

import random

import pytest

from carousel.errors import SettingsError
from carousel.serve.contexts import open_contexts
from carousel.serve.errors import ApiError
from carousel.serve.sessions import SessionSigner, SessionStore, read_keys

KEY = b"0123456789abcdef"


@pytest.fixture(scope="module")
def contexts():
    return open_contexts(["stories-lstm", "stories-gru"])


@pytest.fixture(scope="module")
def context(contexts):
    return contexts["stories-lstm"]


def by_fingerprint(contexts):
    return {context.fingerprint: context for context in contexts.values()}


def test_the_one_that_was_not_used_for_longest_goes_first(context):
    store = SessionStore(2, 60, clock=lambda: 0.0)
    first, second = (store.add(context, context.session()) for _ in range(2))
    assert store.get(first) is not None
    third = store.add(context, context.session())
    assert store.get(second) is None
    assert store.get(first) is not None
    assert store.get(third) is not None
    assert len(store) == 2


def test_sessions_live_as_long_as_they_are_used(context):
    now = [0.0]
    store = SessionStore(10, 60, clock=lambda: now[0])
    used, unused = (store.add(context, context.session()) for _ in range(2))
    for now[0] in (50.0, 100.0):
        assert store.get(used) is not None
    assert store.get(unused) is None
    now[0] = 161.0
    assert store.get(used) is None
    assert len(store) == 0


def test_a_closed_session_is_gone(context):
    store = SessionStore(10, 60)
    id = store.add(context, context.session())
    assert store.remove(id)
    assert not store.remove(id)
    assert store.get(id) is None


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru"])
def test_a_session_goes_on_from_its_token_bit_for_bit(contexts, name):
    session = contexts[name].session()
    session.feed("krish likes pizza so he")
    signer = SessionSigner([KEY], 60)
    opened = signer.open(signer.sign(contexts[name], session), by_fingerprint(contexts))
    assert opened.context is contexts[name]
    for one in (session, opened.session):
        one.feed("orders")
    assert opened.session.next_words(10) == session.next_words(10)
    assert opened.session.attached == session.attached


def test_forged_tokens_are_refused(contexts, context):
    """2,000 tokens with one character changed, and tokens of whoever has another key."""
    signer = SessionSigner([KEY], 60)
    token, known = signer.sign(context, context.session()), by_fingerprint(contexts)
    rng, refused = random.Random(0), 0
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    for _ in range(2000):
        place = rng.randrange(len("state-"), len(token))
        other = rng.choice([c for c in alphabet if c != token[place]])
        with pytest.raises(ApiError) as caught:
            signer.open(token[:place] + other + token[place + 1 :], known)
        # The last character of base64 may carry bits that say nothing.
        refused += caught.value.status in (400, 404)
    foreign = SessionSigner([b"another key of 24 bytes!"], 60).sign(context, context.session())
    for forged in (foreign, "state-", "state-.", "state-" + "A" * 1000, token[:-1], token + "é"):
        with pytest.raises(ApiError, match="not made by this server"):
            signer.open(forged, known)
        refused += 1
    assert refused == 2006
    print(f"{refused} forged tokens, none believed")


def test_a_replayed_token_stands_where_it_stood(contexts, context):
    """As the docs say: it is the client's own state, which it may use again until it is too old."""
    signer, known = SessionSigner([KEY], 60), by_fingerprint(contexts)
    session = context.session()
    session.feed("krish likes pizza so he")
    token, answers = signer.sign(context, session), []
    for word in 100 * ("orders", "pizza", "soup"):
        replayed = signer.open(token, known).session
        replayed.feed(word)
        answers.append((word, tuple(replayed.next_words(3))))
    assert len(set(answers)) == 3
    assert session.next_words(3) == signer.open(token, known).session.next_words(3)
    print(f"{len(answers)} replays of one token, none changed another one's answer")


def test_a_token_ages_and_is_of_one_model(contexts, context, monkeypatch):
    signer = SessionSigner([KEY], 60)
    token = signer.sign(context, context.session())
    with pytest.raises(ApiError, match="not served here"):
        signer.open(token, {})
    signer.ttl = -1
    with pytest.raises(ApiError, match="too long ago") as caught:
        signer.open(token, by_fingerprint(contexts))
    assert caught.value.status == 404


def test_a_new_key_signs_and_the_old_one_still_opens(contexts, context):
    old = SessionSigner([KEY], 60)
    both = SessionSigner([KEY, b"the newer key is here"], 60)
    known = by_fingerprint(contexts)
    both.open(old.sign(context, context.session()), known)
    with pytest.raises(ApiError):
        old.open(both.sign(context, context.session()), known)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_state_of_another_size_is_refused(context, size):
    with pytest.raises(ValueError, match="bytes"):
        context.unpack(b"\0" * size)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "must hold"), (b"short\n", "shorter"), (None, "can't be read")],
)
def test_a_file_of_keys_is_checked(tmp_path, content, words):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        read_keys(path)
