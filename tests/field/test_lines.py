"""Each line as a text of its own (``carry_state = false``): names, commands, messages."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import carousel
from carousel.inference.model import RecurrentLM
from carousel.lens.saliency import LensError, measure_saliency
from carousel.model import LanguageModel
from carousel.training.nn.network import Network

TEXTS = {
    "names": "anna smith\nboris petrov\nchen wei\nanna petrov\n",
    "commands": "git status\ngit commit -m fix\nls -la\ncd src\n",
    "messages": "see you soon!\nwhere are you?\nok :-)\n",
}
CELLS = ("rnn", "gru", "lstm", "cifg-peephole")


@pytest.fixture(params=TEXTS)
def text(request):
    return TEXTS[request.param]


@pytest.fixture
def model(make_model, text):
    return make_model(text=text, layers=2, carry_state=False)


def probabilities(predictions):
    return {p.word: pytest.approx(p.probability, 1e-4) for p in predictions}


def test_what_stands_in_earlier_lines_changes_nothing(model, text):
    *earlier, last = text.rstrip("\n").split("\n")
    expected = probabilities(model.next_words(last, k=3))
    assert probabilities(model.next_words("\n".join([*earlier, last]), k=3)) == expected
    session = model.session()
    for line in (*earlier, "", last):
        session.feed(line)
        if line is not last:
            session.feed("\n")
    assert probabilities(session.next_words(k=3)) == expected


def test_a_model_that_carries_its_state_does_not_forget(make_model, text):
    model = make_model(text=text, layers=2)
    *earlier, last = text.rstrip("\n").split("\n")
    whole = probabilities(model.next_words("\n".join([*earlier, last]), k=3))
    assert probabilities(model.next_words(last, k=3)) != whole


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("backend", ["numpy", "auto"])
def test_training_reads_as_prediction_does(make_model, cell, backend):
    config = make_model(cell, layers=2, carry_state=False).config
    network = Network(config).eval()
    model = RecurrentLM(config, network.export(), backend=backend)
    rng = np.random.default_rng(0)
    ids = rng.integers(config.vocab_size, size=(30, 4))
    ids[rng.random(ids.shape) < 0.2] = 1
    with torch.no_grad():
        hidden, state = network(torch.from_numpy(ids), network.initial_state(4))
    reading = model.read(ids, model.initial_state(4))
    np.testing.assert_allclose(reading.hidden, hidden, atol=1e-5)
    np.testing.assert_allclose(reading.state.h, state.h, atol=1e-5)


def test_it_is_what_torch_makes_of_each_line_alone(make_model):
    config = make_model(cell="lstm", carry_state=False, text=TEXTS["names"]).config
    network = Network(config).eval()
    lstm: nn.LSTM = network.layers[0].fused
    lines = [[2, 3, 4], [5], [6, 7, 3, 2]]
    ids = torch.tensor([id for line in lines for id in [1, *line]])[:, None]
    with torch.no_grad():
        hidden, _ = network(ids, network.initial_state(1))
        alone = [lstm(network.embedding(torch.tensor([[1, *line]]).T))[0] for line in lines]
    np.testing.assert_allclose(hidden, torch.cat(alone), atol=1e-6)


@pytest.mark.parametrize("clamp", ["h=0.1@2", "forget~1:0.5", "forget=1@smith"])
def test_under_a_clamp_the_lines_stay_apart(make_model, clamp):
    from carousel.lens.clamp_syntax import parse_clamp

    model = make_model(text=TEXTS["names"], carry_state=False)
    with model.clamp(parse_clamp(clamp)) as held:
        one = probabilities(held.next_words("smith\nboris", k=3))
        other = probabilities(held.next_words("petrov\nboris", k=3))
    # What is held at a word or a place of the first line changes nothing in the second.
    assert one == other


def test_scores_of_lines_add_up(model, text):
    lines = text.rstrip("\n").split("\n")
    whole = model.score(text)
    alone = [model.score(line).log_probability for line in lines]
    assert whole.log_probability == pytest.approx(sum(alone), rel=1e-5)


def test_the_belt_is_emptied_at_the_end_of_a_line(model, text):
    trace = model.trace(text.rstrip("\n"))
    for layer in range(2):
        belt = trace.belt(layer)
        assert belt.error() < 1e-4
        end = int(np.flatnonzero(trace.ids == 1)[-1])
        assert np.abs(belt.luggage_at(-1)[:end]).max() == 0


def test_saliency_asks_for_one_line(model, text):
    with pytest.raises(LensError, match="each line as a text of its own: give one line"):
        measure_saliency(model.model, model.tokenizer, text)


def test_from_training_to_the_folder_and_the_evaluation(tmp_path):
    # The second word of a line is the first one of the line before: it is known to who remembers.
    rng = np.random.default_rng(0)
    words = ["ada", "bob", "cyd", "dan", "eva", "fay", "gus", "hal"]
    firsts = [words[number] for number in rng.integers(8, size=401)]
    lines = [f"{one} {before}" for before, one in pairwise(firsts)]
    text = tmp_path / "t.txt"
    text.write_text("\n".join(lines) + "\n")
    sizes = {"hidden_size": 24, "embedding_size": 24, "batch_size": 8, "bptt": 16}
    sizes |= {"dropout": 0.0, "embedding_std": 1.0}
    perplexities = {}
    for carried in (True, False):
        model = carousel.train(
            text, carry_state=carried, epochs=12, learning_rate=0.02, threads=1, progress=False,
            **sizes,
        )  # fmt: skip
        model.save(tmp_path / f"carried-{carried}")
        config = json.loads((tmp_path / f"carried-{carried}" / "config.json").read_text())
        assert config.get("carry_state", True) == carried
        loaded = LanguageModel.load(tmp_path / f"carried-{carried}")
        perplexities[carried] = loaded.evaluate(text).perplexity
    # Of three tokens a line one is the end. Two of 8 words are unknown without a memory of the
    # line before, and one with it: at best 8 ** (2 / 3) = 4.0 and 8 ** (1 / 3) = 2.0.
    assert perplexities[True] < 3.3
    assert perplexities[False] > 3.6
    one, other = (loaded.next_words(f"{word} ada\nfay", k=8) for word in ("bob", "cyd"))
    assert probabilities(one) == probabilities(other)


@pytest.mark.parametrize("value", ["1", '"yes"', "null"])
def test_a_damaged_field_is_refused(tmp_path, make_model, value):
    from carousel.errors import FolderError

    make_model(carry_state=False).save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(path.read_text().replace('"carry_state": false', f'"carry_state": {value}'))
    with pytest.raises(FolderError, match="carry_state must be bool"):
        LanguageModel.load(tmp_path / "m")


def test_a_model_that_adapts_keeps_what_it_learned_over_the_lines(make_model):
    model = make_model(text=TEXTS["names"], carry_state=False)
    one, other = (model.session(adapt="cache") for _ in range(2))
    one.feed("anna smith\nboris")
    other.feed("chen wei\nboris")
    # The network's own state is the same, and the words that the cache remembers are not.
    np.testing.assert_allclose(one.state.inner.h, other.state.inner.h, atol=1e-6)
    assert one.next_words() != other.next_words()
