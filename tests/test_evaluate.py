"""Evaluation, against one naive pass and against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from by_hand import softmax_by_hand
from carousel import evaluate as module
from carousel.errors import TextError
from carousel.evaluate import evaluate
from front_door import parts

SENTENCES = [
    "the cat sat on a mat",
    "he likes pizza but she likes pie",
    "so the dog ran to a burger , xyzzy",
    "she orders pita",
]


def write(tmp_path, lines):
    path = tmp_path / "text.txt"
    path.write_text("".join(line + "\n" for line in lines))
    return [path]


def naive(model, lines):
    """Everything by hand, token after token, in plain Python."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode("".join(line + "\n" for line in lines))
    state, token = model.model.initial_state(), tokenizer.eol_id
    nats, ranks, keys, letters = 0.0, [], 0, 0
    words = [i for i in range(tokenizer.vocab_size) if tokenizer.is_word(i)]
    for target in ids:
        scores, state = model.model.step([token], state)
        p = softmax_by_hand(scores[0])
        nats -= math.log(p[target])
        if target == tokenizer.unknown_id:
            ranks.append(math.inf)
        elif target in words:
            ranks.append(1 + sum(p[w] > p[target] for w in words))
            spelling = tokenizer.token(target)
            cost = len(spelling) + 1
            for typed in range(len(spelling) + 1):
                fits = [w for w in words if tokenizer.token(w).startswith(spelling[:typed])]
                if target in sorted(fits, key=lambda w: -p[w])[:3]:
                    cost = min(cost, typed + 1)
            keys += cost
            letters += len(spelling) + 1
        token = target
    return ids, nats, ranks, 1 - keys / letters


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), picks=st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_equals_a_naive_pass(make_model, tmp_path_factory, seed, picks):
    model = make_model(seed=seed)
    lines = [SENTENCES[i] for i in picks]
    ids, nats, ranks, saved = naive(model, lines)
    found = evaluate(*parts(model), write(tmp_path_factory.mktemp("text"), lines))
    characters = sum(len(line) + 1 for line in lines)
    words = sum(len(line.split()) for line in lines)
    assert (found.tokens, found.words, found.characters) == (len(ids), words, characters)
    assert found.perplexity == pytest.approx(math.exp(nats / len(ids)), rel=1e-4)
    assert found.perplexity_per_word == pytest.approx(math.exp(nats / (words + len(lines))), 1e-4)
    assert found.bits_per_character == pytest.approx(nats / math.log(2) / characters, rel=1e-4)
    assert found.next_words == len(ranks)
    for k, recall in ((1, found.recall_at_1), (3, found.recall_at_3), (5, found.recall_at_5)):
        assert recall == pytest.approx(sum(r <= k for r in ranks) / len(ranks))
    assert found.mean_reciprocal_rank == pytest.approx(sum(1 / r for r in ranks) / len(ranks))
    assert found.keystrokes_saved == pytest.approx(saved)
    assert found.unknown_rate == pytest.approx(ids.count(0) / len(ids))


def test_a_model_without_weights_is_uniform(make_model, tmp_path):
    model = make_model(scale=0.0)
    found = evaluate(*parts(model), write(tmp_path, SENTENCES))
    assert found.perplexity == pytest.approx(model.config.vocab_size, rel=1e-5)
    # With all words equal none is likelier than the right one; only the unknown are missed.
    unknown = round(found.unknown_rate * found.tokens)
    words_right = (found.next_words - unknown) / found.next_words
    assert unknown > 0
    assert found.recall_at_1 == pytest.approx(words_right)


def test_where_the_text_is_cut_hardly_matters(make_model, tmp_path, monkeypatch):
    model = make_model(scale=0.4)
    rng = np.random.default_rng(0)
    lines = [SENTENCES[i] for i in rng.integers(0, 4, 300)]
    files = write(tmp_path, lines)
    monkeypatch.setattr(module, "MOST_STREAMS", 1)
    one = evaluate(*parts(model), files)
    monkeypatch.setattr(module, "MOST_STREAMS", 32)
    monkeypatch.setattr(module, "SHORTEST_STREAM", 100)
    monkeypatch.setattr(module, "LOGIT_BYTES", 2000)
    many = evaluate(*parts(model), files)
    assert many.tokens == one.tokens
    assert many.next_words == one.next_words
    assert many.perplexity == pytest.approx(one.perplexity, rel=1e-4)
    assert many.recall_at_3 == pytest.approx(one.recall_at_3, abs=1e-3)
    assert many.keystrokes_saved == pytest.approx(one.keystrokes_saved, abs=1e-3)


def test_keystrokes_are_counted_on_a_part_of_a_long_text(make_model, tmp_path, monkeypatch):
    model = make_model()
    files = write(tmp_path, SENTENCES * 50)
    monkeypatch.setattr(module, "MOST_TYPED", 100)
    found = evaluate(*parts(model), files)
    assert 50 <= found.keystroke_positions <= 150
    assert found.next_words > 1000


@pytest.mark.parametrize("kind", ["chars", "bpe"])
def test_other_tokens_have_no_ranks_of_words(make_model, tmp_path, kind):
    model = make_model(kind=kind, text="the cat sat\n", vocab=300 if kind == "bpe" else None)
    found = evaluate(*parts(model), write(tmp_path, ["the cat sat"]))
    assert found.recall_at_1 is None
    assert found.keystrokes_saved is None
    assert found.bits_per_character > 0
    assert found.words == 3


def test_progress_and_unknown_text(make_model, tmp_path):
    seen = []
    evaluate(
        *parts(make_model()),
        write(tmp_path, SENTENCES),
        on_progress=lambda d, t: seen.append((d, t)),
    )
    assert seen[-1][0] == seen[-1][1]
    with pytest.raises(TextError, match="every word of the text is unknown"):
        evaluate(*parts(make_model()), write(tmp_path, ["xyzzy plugh"]))
