"""The rules of generation: penalties, repetitions and blocked words, against what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel.errors import PredictionError, SettingsError
from carousel.predict.blocked_words import BlockedWords
from carousel.predict.generation import Continuation, generate, generate_batch
from carousel.predict.sampling import GenerationSettings, TokenRules
from carousel.text.vocabulary import train_tokenizer
from front_door import parts, read_logits

TOKENIZER = train_tokenizer("words", ["a b c d e f g h"])
V = TOKENIZER.vocab_size
IDS = st.lists(st.integers(1, V - 1), max_size=20)
LOGITS = st.lists(st.floats(-5, 5), min_size=V, max_size=V)


def rules(ids, **settings_):
    return TokenRules(TOKENIZER, GenerationSettings(**settings_), ids, BlockedWords(TOKENIZER, []))


@settings(max_examples=100, deadline=None)
@given(logits=LOGITS, ids=IDS, penalty=st.floats(0.5, 3))
def test_the_repetition_penalty_is_that_of_the_paper(logits, ids, penalty):
    scores = rules(ids, repetition_penalty=penalty).apply(np.array(logits))
    for id in range(1, V):
        logit = logits[id]
        if id in ids:
            logit = logit / penalty if logit > 0 else logit * penalty
        assert scores[id] == pytest.approx(logit)
    assert scores[TOKENIZER.unknown_id] == -np.inf


@settings(max_examples=100, deadline=None)
@given(ids=IDS, more=IDS, size=st.integers(1, 4))
def test_what_would_repeat_is_exactly_what_is_ruled_out(ids, more, size):
    here = rules(ids, no_repeat_ngram_size=size)
    for id in more:
        here.accept(id)
    whole = ids + more
    before = {tuple(whole[at : at + size]) for at in range(len(whole) - size + 1)}
    scores = here.apply(np.zeros(V))
    for id in range(1, V):
        # As transformers does: what would complete a run of tokens that is there already.
        repeats = len(whole) >= size - 1 and (*whole[len(whole) - size + 1 :], id) in before
        if scores is None:
            assert repeats
        else:
            assert (scores[id] == -np.inf) == repeats


@pytest.mark.parametrize("kind", ["words", "chars", "bpe"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_tokens_in_a_row_come_up_twice(make_model, kind, size):
    model = make_model(kind=kind, text="the cat sat on the mat\n" * 3, vocab=280)
    for seed in range(3):
        continuation = Continuation.of_text(
            model.tokenizer, "the", seed=seed, no_repeat_ngram_size=size, max_tokens=40
        )
        ids = list(continuation.ids)
        logits, state = read_logits(model, ids)
        while continuation.finish_reason is None:
            count = continuation.count
            continuation.add(logits)
            if continuation.count > count:
                ids.append(continuation.token)
                scores, state = model.model.step([continuation.token], state)
                logits = scores[0]
        rows = [tuple(ids[at : at + size]) for at in range(len(ids) - size + 1)]
        assert len(rows) == len(set(rows))


BLOCKED = {
    "Latin": ("the cat sat on the mat\n", ["CAT", "mat"]),
    "Cyrillic": ("кот спит дома\nкот ест рыбу\n", ["Кот", "рыбу"]),
    "Hindi": ("मेरी किताब है\nमेरी कलम है\n", ["किताब"]),
    "accents": ("le château est là\nune école là\n", ["CHÂTEAU", "E\u0301COLE"]),
}


@pytest.mark.parametrize("kind", ["words", "whitespace", "chars", "bpe"])
@pytest.mark.parametrize("script", BLOCKED)
def test_blocked_words_never_come(make_model, kind, script):
    text, words = BLOCKED[script]
    model = make_model(kind=kind, text=text * 3, vocab=300 if kind == "bpe" else None)
    tokenizer, first = model.tokenizer, text.split()[0]
    blocked = BlockedWords(tokenizer, words)
    folded = {word.casefold() for word in map(tokenizer.normalize, words)}

    def held(text):
        # A space keeps what follows a space: it is no part of the last word.
        return {word for word in cut(text) if word.casefold() in folded}

    def cut(text):
        pieces = text.split() if kind == "whitespace" else PLAIN.encode_words(text)
        return {tokenizer.normalize(piece) for piece in pieces}

    for k, prefix in [(3, None), (30, None), (5, words[0][:1].lower())]:
        predictions = model.next_words(first, k=k, prefix=prefix, bad_words=words)
        assert not any(word in blocked for word, _ in predictions)
        session = model.session(bad_words=words)
        session.feed(first)
        assert [p.word for p in session.next_words(k, prefix)] == [p.word for p in predictions]
    for seed in range(4):
        text = "".join(generate(*parts(model), "", seed=seed, max_tokens=80, bad_words=words))
        assert not held(text)
    text = "".join(generate(*parts(model), first, num_beams=3, max_tokens=9, bad_words=words))
    assert not held(text)


class PLAIN:
    """Words as Unicode cuts them, by the tokenizer of words."""

    tokenizer = train_tokenizer("words", ["a"])

    @classmethod
    def encode_words(cls, text):
        return [
            line[start:end]
            for line in text.split("\n")
            for _, start, end in cls.tokenizer.encode_with_offsets(line)
        ]


@pytest.mark.parametrize("entry", ["two words", "", "cat!", "(", "a-b"])
def test_what_is_not_one_word_can_not_be_blocked(entry):
    with pytest.raises(PredictionError, match="it is not one word"):
        BlockedWords(TOKENIZER, ["cat", entry])


@pytest.mark.parametrize("kind", ["words", "chars", "bpe"])
def test_several_texts_stepped_together_are_what_each_is_alone(make_model, kind):
    model = make_model(kind=kind, text="the cat sat on the mat\nso he\n" * 3, vocab=280)
    texts = ["the cat", "so", "", "the mat sat on the cat "]
    options = {"max_tokens": 15, "stop": ["mat"], "repetition_penalty": 1.2}
    together = generate_batch(*parts(model), texts, seed=3, num_return_sequences=2, **options)
    alone = [
        ["".join(generate(*parts(model), text, seed=seed, **options)) for seed in (3, 4)]
        for text in texts
    ]
    assert together == alone
    assert all(map(all, together))


def test_they_are_stepped_together(make_model, monkeypatch):
    model = make_model()
    batches = []
    step = model.model.step
    monkeypatch.setattr(
        model.model, "step", lambda ids, state: batches.append(len(ids)) or step(ids, state)
    )
    generate_batch(*parts(model), ["the cat", "so", "a mat"], num_return_sequences=4, max_tokens=5)
    assert batches == [12] * 4


def test_a_beam_as_wide_as_all_texts_finds_the_likeliest(make_model):
    model = make_model(text="a b c", scale=1.5, seed=4)
    tokenizer, length = model.tokenizer, 3
    choices = [id for id in range(tokenizer.vocab_size) if id != tokenizer.unknown_id]

    def search(ids, left, so_far):
        if not left:
            return [(so_far, ids)]
        logits, _ = read_logits(model, ids)
        p = softmax_by_hand(logits)
        return [
            found
            for id in choices
            for found in search([*ids, id], left - 1, so_far + np.log(p[id]))
        ]

    start = tokenizer.encode("a")
    _, best = max(search(start, length, 0.0))
    text = "".join(
        generate(*parts(model), "a", num_beams=len(choices) ** length, max_tokens=length)
    )
    assert "a" + text == tokenizer.decode(best)
    greedy = "".join(generate(*parts(model), "a", temperature=0, max_tokens=length))
    narrow = "".join(generate(*parts(model), "a", num_beams=2, max_tokens=length))
    score = {
        one: sum(
            np.log(softmax_by_hand(read_logits(model, tokenizer.encode("a" + one)[: at + 1])[0]))[
                tokenizer.encode("a" + one)[at + 1]
            ]
            for at in range(length)
        )
        for one in (text, greedy, narrow)
    }
    assert score[text] >= score[narrow] - 1e-6
    assert score[text] >= score[greedy] - 1e-6


@pytest.mark.parametrize("stop", ["c", "\n", "b c"])
def test_a_beam_ends_before_a_stop_text(make_model, stop):
    model = make_model(text="a b c", scale=1.5)
    text = "".join(generate(*parts(model), "a", num_beams=4, max_tokens=12, stop=[stop]))
    assert stop not in text


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 1000}, "num_beams"),
        ({"num_beams": 2, "top_k": 3}, "leave out temperature"),
        ({"num_beams": 2, "temperature": 0.5}, "leave out temperature"),
    ],
)
def test_nonsense_settings(make_model, settings_, message):
    with pytest.raises(SettingsError, match=message):
        list(generate(*parts(make_model()), "the", **settings_))
