"""The `openai` package, as its users call it."""

import math

import pytest
from openai import BadRequestError, NotFoundError, OpenAI, UnprocessableEntityError

import carousel
from carousel.predict.score import score_text

LM = carousel.load("stories-lstm")
TEXT = "krish likes pizza so he orders"


@pytest.fixture(scope="module")
def client(port):
    with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as found:
        yield found


def complete(client, prompt=TEXT, **options):
    return client.completions.create(model="stories-lstm", prompt=prompt, **options)


def test_list(client):
    assert [model.id for model in client.models.list()] == ["stories-lstm", "stories-gru"]
    assert client.models.retrieve("stories-gru").owned_by == "carousel"


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("options", [{"temperature": 0}, {}, {"temperature": 0.7, "top_p": 0.8}])
def test_complete_as_the_library_generates(client, seed, options):
    answer = complete(client, max_tokens=20, seed=seed, **options)
    wanted = LM.generate(TEXT, max_tokens=20, seed=seed, **options)
    assert TEXT + answer.choices[0].text == wanted
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == 6
    assert answer.usage.completion_tokens == 20


def test_every_form_of_prompt_is_the_same_prompt(client):
    ids = LM.tokenizer.encode(TEXT)
    for prompt, count in ((TEXT, 1), ([TEXT, TEXT], 2), (ids, 1), ([ids, ids, ids], 3)):
        answer = complete(client, prompt, max_tokens=5, temperature=0)
        assert len(answer.choices) == count
        assert len({choice.text for choice in answer.choices}) == 1
        assert [choice.index for choice in answer.choices] == list(range(count))


def test_n_draws_so_many_and_a_stop_ends_them(client):
    answer = complete(client, n=5, seed=1, max_tokens=12)
    assert len({choice.text for choice in answer.choices}) > 1
    assert complete(client, n=5, seed=1, max_tokens=12).choices == answer.choices
    whole = complete(client, seed=3, max_tokens=30).choices[0].text
    stopped = complete(client, seed=3, max_tokens=30, stop=["\n", "xyz"]).choices[0]
    assert stopped.text == whole.split("\n")[0]
    assert stopped.finish_reason == ("stop" if "\n" in whole else "length")


@pytest.mark.parametrize("options", [{}, {"logprobs": 2}, {"echo": True, "n": 2, "logprobs": 1}])
def test_a_stream_is_the_whole_in_pieces(client, options):
    options = {"max_tokens": 25, "seed": 4, **options}
    whole = complete(client, **options)
    chunks = list(complete(client, stream=True, stream_options={"include_usage": True}, **options))
    assert chunks[-1].usage == whole.usage
    assert chunks[-1].choices == []
    for choice in whole.choices:
        parts = [c.choices[0] for c in chunks[:-1] if c.choices[0].index == choice.index]
        assert "".join(part.text for part in parts) == choice.text
        assert [part.finish_reason for part in parts[:-1]] == [None] * (len(parts) - 1)
        assert parts[-1].finish_reason == choice.finish_reason
        if choice.logprobs:
            for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
                joined = [value for part in parts for value in getattr(part.logprobs, name)]
                assert joined == getattr(choice.logprobs, name), name


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_echo_scores_a_text(client, max_tokens):
    answer = complete(client, echo=True, logprobs=3, max_tokens=max_tokens, temperature=0)
    choice = answer.choices[0]
    score = score_text(LM.model, LM.tokenizer, TEXT)
    count = len(score.tokens) - 1  # the library scores the end of the line, too
    logprobs = choice.logprobs
    assert choice.text.startswith(TEXT)
    assert logprobs.tokens[:count] == score.tokens[:-1]
    assert logprobs.token_logprobs[0] is logprobs.top_logprobs[0] is None
    wanted = score.log_probabilities[1:-1].tolist()
    assert logprobs.token_logprobs[1:count] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert len(logprobs.tokens) == count + max_tokens
    for token, value, top in list(
        zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True)
    )[1:]:
        assert top[token] == value
        assert len(top) in (3, 4)
        assert sum(map(math.exp, top.values())) <= 1 + 1e-9
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert choice.text[offset:].lstrip().startswith(token)


def test_errors_are_the_clients_own(client):
    with pytest.raises(NotFoundError, match="no such model"):
        client.completions.create(model="gpt-4", prompt="a")
    with pytest.raises(UnprocessableEntityError, match="temperature"):
        complete(client, temperature=-1)
    with pytest.raises(BadRequestError, match="none of the words"):
        complete(client, "zzzz")
