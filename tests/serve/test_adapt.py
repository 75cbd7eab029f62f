"""`--adapt cache`: each session and each request has a neural cache of its own."""

import concurrent.futures
import http.client
import json
import random
import shutil

import numpy as np
import pytest

import carousel
from carousel.cli import run
from carousel.predict.score import score_text
from carousel.serve.contexts import FINGERPRINT_BYTES, Context
from carousel.serve.errors import ApiError
from carousel.serve.sessions import SessionSigner, SessionStore
from carousel.storage.adaptation import Adaptation, CacheParameters, write_adaptation
from serve.servers import post, running, send

LM = carousel.load("stories-lstm")
TEXT = "krish likes soup and paul likes burger so krish orders"
KEY = b"a secret that both servers know"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """A server with a cache of 12 words, which a text soon fills."""
    folder = folder_with_cache(tmp_path_factory.mktemp("model") / "stories", 12)
    with running(folder, "--adapt", "cache", "--no-access-log") as server:
        yield server.port


def folder_with_cache(folder, size):
    shutil.copytree(LM.path, folder)
    cache = CacheParameters(theta=0.5, lambda_=0.3, size=size)
    write_adaptation(folder, Adaptation(cache=cache))
    return folder


def adapted():
    return LM.adapt(CacheParameters(theta=0.5, lambda_=0.3, size=12))


def words_of(predictions):
    return [{"word": word, "probability": p} for word, p in predictions]


def test_a_text_is_read_with_a_cache_of_its_own(port):
    for text in (TEXT, "krish likes pizza", TEXT):
        found = post(port, "/v1/next", {"text": text, "k": 5})[1]["words"]
        wanted = adapted().next_words(text, 5)
        assert [row["word"] for row in found] == [word for word, _ in wanted]
        probabilities = [row["probability"] for row in found]
        assert probabilities == pytest.approx([p for _, p in wanted], rel=1e-5)
        plain = [p for _, p in LM.next_words(text, 5)]
        assert probabilities != pytest.approx(plain, rel=1e-3)


def test_completions_generate_and_score_with_a_cache(port):
    body = {"prompt": TEXT, "max_tokens": 40, "seed": 3}
    text = post(port, "/v1/completions", body)[1]["choices"][0]["text"]
    assert TEXT + text == adapted().generate(TEXT, max_tokens=40, seed=3)
    body = {"prompt": TEXT, "max_tokens": 0, "echo": True, "logprobs": 1}
    found = post(port, "/v1/completions", body)[1]["choices"][0]["logprobs"]["token_logprobs"]
    model = adapted()
    wanted = score_text(model.model, model.tokenizer, TEXT).log_probabilities[1:-1]
    assert found[1:] == pytest.approx(wanted.tolist(), rel=1e-4, abs=1e-6)


def test_sessions_are_the_librarys_bit_for_bit_and_two_never_mix(port):
    """40 sessions, kept by the server and by clients, over 4 connections, in mixed order."""
    words = [word for word in LM.tokenizer.tokens()[2:] if word.isalpha()]
    rounds, numbers = 16, range(40)
    texts = [random.Random(seed).choices(words, k=rounds) for seed in numbers]

    def wanted(number):
        session, answers = adapted().session(), []
        for word in texts[number]:
            session.feed(word)
            answers.append(words_of(session.next_words(3)))
        return answers

    def over_one_connection(part):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

        def request(path, body):
            status, _, content = send(client, "POST", path, body)
            assert status == 200, content
            return json.loads(content)

        names, answers, rng = {}, {number: [] for number in part}, random.Random(part[0])
        for number in part:
            kept_by = "client" if number // 4 % 2 else "server"
            names[number] = request("/v1/sessions", {"kept_by": kept_by})["session"]
        for turn in range(rounds):
            for number in rng.sample(part, len(part)):
                body = {"session": names[number], "text": texts[number][turn]}
                names[number] = request("/v1/sessions/feed", body)["session"]
            for number in rng.sample(part, len(part)):
                body = {"session": names[number], "k": 3}
                answers[number].append(request("/v1/next", body)["words"])
        client.close()
        return answers

    found = {}
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for answers in pool.map(
            over_one_connection, [list(numbers[first::4]) for first in range(4)]
        ):
            found |= answers
    assert found == {number: wanted(number) for number in numbers}
    print(f"{2 * rounds * len(numbers):,} requests of {len(numbers)} sessions, equal bit for bit")


def test_explanations_are_of_the_model_without_the_cache(port):
    asked = {"texts": ["krish likes pizza so he orders"]}
    found = post(port, "/v1/explain", asked)[1]["texts"][0]["next_words"][-1][0]
    word, probability = LM.next_words(asked["texts"][0], 1)[0]
    assert (found["word"], found["probability"]) == (word, pytest.approx(probability, rel=1e-4))


@pytest.mark.parametrize("name", ["stories-lstm", "stories-gru", "stories-rnn", "english"])
def test_a_state_grows_with_its_text_up_to_the_cache_and_comes_back_bit_for_bit(name):
    lm = carousel.load(name)
    context, session = Context(name, lm, "cache"), lm.session(adapt="cache")
    width, size = lm.config.decoder_input_size + 2, session.model.backend.context
    rng, plain = np.random.default_rng(0), len(context.pack(session))
    for length in (0, 1, 5, 70, 600):
        session.feed(rng.integers(2, lm.tokenizer.vocab_size, length).tolist())
        data = context.pack(session)
        read = len(session.state.words[session.state.words >= 0])
        assert len(data) == plain + 4 * width * min(read, size)
        copy = context.unpack(data)
        assert np.array_equal(copy.hidden, session.hidden)
        for one in (copy, ahead := session.copy()):
            one.feed([5, 7])
        assert copy.next_words(10) == ahead.next_words(10)
    assert len(data) == context.session_bytes


def test_tokens_of_another_cache_and_of_another_size_are_refused(tmp_path):
    cached = Context("stories", LM, "cache")
    plain = Context("stories", LM)
    other = Context("stories", carousel.load(folder_with_cache(tmp_path / "other", 12)), "cache")
    signer, session = SessionSigner([KEY], 60), cached.session()
    session.feed("krish likes pizza")
    token, data = signer.sign(cached, session), cached.pack(session)
    assert signer.open(token, {cached.fingerprint: cached}).context is cached
    for context in (plain, other):
        with pytest.raises(ApiError, match="not served here"):
            signer.open(token, {context.fingerprint: context})
    row = data[-4 * (LM.config.decoder_input_size + 2) :]
    wrong = [data[:-1], data[:-4], data + row[4:], data + 1000 * row, b""]
    wrong += [data[:-4] + np.float32(id).tobytes() for id in (-1, 87, np.nan, np.inf)]
    for content in wrong:  # signed with the right key all the same
        cached.pack = lambda session, content=content: content
        with pytest.raises(ApiError) as caught:
            signer.open(signer.sign(cached, session), {cached.fingerprint: cached})
        assert caught.value.status == 404
    assert len(cached.fingerprint) == FINGERPRINT_BYTES


def test_sessions_together_take_no_more_than_they_may():
    context = Context("stories", LM, "cache")
    store = SessionStore(100, 60, max_bytes=3 * context.session_bytes + 1)
    ids = [store.add(context, context.session()) for _ in range(5)]
    assert [store.get(id) is not None for id in ids] == [False, False, True, True, True]
    store.remove(ids[3])
    store.add(context, context.session())
    assert [store.get(id) is not None for id in ids] == [False, False, True, False, True]
    assert len(store) == 3


def test_a_cache_that_no_client_can_keep(tmp_path, capsys):
    folder = folder_with_cache(tmp_path / "stories", 6_000)
    assert run(["serve", str(folder), "--adapt", "cache", "--workers", "2"]) == 2
    assert "too much for a client to keep" in capsys.readouterr().err
    with running(folder, "--adapt", "cache", "--no-access-log") as server:
        status, answer = post(server.port, "/v1/sessions", {"kept_by": "client"})
        assert (status, answer["error"]["param"]) == (400, "kept_by")
        session = post(server.port, "/v1/sessions", {"text": "krish likes"})[1]["session"]
        assert post(server.port, "/v1/next", {"session": session})[0] == 200
        # A request's prompts would each take such a state.
        body = {"prompt": ["krish"] * 20, "max_tokens": 1}
        assert post(server.port, "/v1/completions", body)[0] == 422
