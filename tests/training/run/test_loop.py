"""The loop: same seed same weights, the best kept, early stopping, Ctrl-C, going on, going back."""

import itertools
import math
import signal

import numpy as np
import pytest
import torch

from carousel.cells import CELLS
from carousel.errors import TrainingError
from carousel.storage.config import Config
from carousel.training.nn.architecture import make_regularization
from carousel.training.nn.network import Network
from carousel.training.run import loop as module
from carousel.training.run.callbacks import Callback
from carousel.training.run.checkpoint import FileStore, find_checkpoints
from carousel.training.run.loop import fit
from carousel.training.run.validation import measure_loss
from carousel.training.settings import Settings

CPU = torch.device("cpu")
V = 7
CYCLE = np.tile(np.array([2, 5, 3, 6, 4], dtype=np.uint16), 60)
NOISE = np.random.default_rng(0).integers(2, V, 300).astype(np.uint16)


def make_network(regularization=None, **sizes):
    torch.manual_seed(3)
    sizes = {"cell": "gru", "embedding_size": 4, "hidden_size": 8, "layers": 1} | sizes
    return Network(Config(vocab_size=V, tied=False, **sizes), regularization)


def make_settings(**table):
    return Settings(**{"batch_size": 4, "bptt": 10, "epochs": 20.0, "learning_rate": 0.02} | table)


class Recorder(Callback):
    def __init__(self, on_validation=None):
        self.losses, self.best, self.progress, self.lines = [], [], [], []
        self.then = on_validation

    def on_train_begin(self, progress, rows):
        self.losses = [row["valid_loss"] for row in rows]

    def on_message(self, message):
        self.lines.append(message)

    def on_progress(self, progress):
        self.progress.append(progress.fraction)

    def on_validation(self, progress, *, is_best):
        self.losses.append(progress.valid_loss)
        self.best.append(is_best)
        if self.then:
            self.then(progress)


def run(train=CYCLE, valid=CYCLE[:100], network=None, recorder=None, store=None, **table):
    network = network or make_network()
    recorder = recorder or Recorder()
    outcome = fit(network, train, valid, make_settings(**table), [recorder], CPU, store)
    return network, recorder, outcome


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_cycle_is_learned(optimizer):
    rate = 0.02 if optimizer == "adamw" else 1.0
    _, recorder, outcome = run(optimizer=optimizer, learning_rate=rate, epochs=30.0)
    assert outcome.stop_reason == "finished"
    assert recorder.losses[0] > outcome.best_loss
    assert outcome.best_loss < 0.2  # of log(5) nats that guessing costs
    assert recorder.progress[-1] == 1


def test_the_same_seed_gives_the_same_weights():
    (a, _, _), (b, _, _) = run(epochs=3.0), run(epochs=3.0)
    for name, weight in a.export().items():
        np.testing.assert_array_equal(weight, b.export()[name])


def test_the_best_weights_are_the_ones_that_stay():
    # What validation wants is the opposite of what training teaches: the first is the best.
    network, recorder, outcome = run(valid=CYCLE[::-1].copy(), patience=0)
    assert recorder.losses[-1] > outcome.best_loss
    assert outcome.best_loss == min(recorder.losses)
    actual = measure_loss(network, CYCLE[::-1].copy(), CPU, bptt=10)
    assert actual == pytest.approx(outcome.best_loss, rel=1e-6)


def test_training_stops_early_when_validation_gets_no_better():
    _, recorder, outcome = run(valid=NOISE[:60], patience=3)
    assert outcome.stop_reason == "early"
    assert recorder.best[-4:] == [True, False, False, False]


def test_an_interrupt_keeps_the_best_so_far():
    def stop(progress):
        if progress.fraction > 0.4:
            raise KeyboardInterrupt

    network, recorder, outcome = run(recorder=Recorder(stop))
    assert outcome.stop_reason == "interrupted"
    assert recorder.progress == [] or max(recorder.progress) < 0.6
    assert measure_loss(network, CYCLE[:100], CPU, bptt=10) == pytest.approx(outcome.best_loss)


def test_an_interrupt_before_any_validation_keeps_the_weights(monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure_loss", stop)
    _, _, outcome = run()
    assert outcome.stop_reason == "interrupted"
    assert outcome.best_loss == math.inf


def test_minutes_end_the_run_and_its_schedule(monkeypatch):
    clock = iter(np.arange(0, 1e6, 0.5))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    _, recorder, outcome = run(epochs=None, max_minutes=2.0, patience=0)
    assert outcome.stop_reason == "finished"
    assert recorder.progress[-1] == 1
    assert outcome.rows[-1]["learning_rate"] < 1e-3
    assert outcome.rows[-1]["seconds"] == pytest.approx(120, abs=5)


class KilledError(Exception):
    """As if the process were no more."""


def kill_at(network, call):
    """Have the network's loss fail at its ``call``-th call, in a step or in a validation."""
    loss, calls = network.loss, itertools.count(1)

    def failing(*given):
        if next(calls) == call:
            raise KilledError
        return loss(*given)

    network.loss = failing
    return network


def finished(store, kills=(), **table):
    """A run that is killed at each of ``kills``, and gone on with, to its end."""
    sizes = {key: table.pop(key) for key in ("cell", "layers") if key in table}
    settings = make_settings(epochs=4.0, **table)
    for call in [*kills, 0]:
        network = make_network(make_regularization(settings), **sizes)
        torch.manual_seed(5)
        recorder = Recorder()
        try:
            outcome = fit(
                kill_at(network, call), CYCLE, NOISE[:60], settings, [recorder], CPU, store
            )
        except KilledError:
            continue
    return network, recorder, outcome


@pytest.mark.parametrize(
    "table",
    [
        *({"cell": cell, "dropout": 0.3} for cell in CELLS),
        {"optimizer": "sgd", "cell": "lstm", "layers": 2, "dropout": 0.3},
        {"locked_dropout": True, "dropout": 0.3},
        {"embedding_dropout": 0.3},
        *({"cell": cell, "weight_drop": 0.3} for cell in ("lstm", "cifg")),
        {"activation_regularization": 2.0, "temporal_activation_regularization": 1.0},
        {"random_bptt": True},
        {"averaging": "ema", "ema_decay": 0.9},
        {"averaging": "nt-asgd", "schedule": "constant", "optimizer": "sgd"},
    ],
    ids=str,
)
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, monkeypatch, table):
    monkeypatch.setattr(module, "DIVERGENCE_STEPS", 7)
    whole, _, expected = finished(None, patience=3, **table)
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL", 0.0)
    store = FileStore(tmp_path, print)
    again, recorder, actual = finished(store, [1, 2, 5, 9, 13], patience=3, **table)
    for name, weight in whole.export().items():
        np.testing.assert_array_equal(weight, again.export()[name])
    assert (actual.stop_reason, actual.best_loss) == (expected.stop_reason, expected.best_loss)
    assert recorder.losses == [row["valid_loss"] for row in actual.rows]
    for ours, theirs in zip(actual.rows, expected.rows, strict=True):
        for clock in ("seconds", "tokens_per_second"):
            ours.pop(clock), theirs.pop(clock)
        assert ours == theirs
    assert len(list(tmp_path.glob("step-*"))) == 2


def spoil(network, at, value=math.nan):
    """Have the loss of the ``at``-th step come out times ``value``."""
    loss, steps = network.loss, itertools.count(1)

    def spoilt(*given):
        actual, state = loss(*given)
        # Validation asks for no gradients.
        if actual.requires_grad and next(steps) == at:
            actual = actual * value
        return actual, state

    network.loss = spoilt
    return network


def steps_of(recorder):
    return [
        [int(word.strip(":;")) for word in line.split() if word.strip(":;").isdigit()]
        for line in recorder.lines
    ]


@pytest.mark.parametrize(("value", "what"), [(math.nan, "not finite"), (1e4, "has exploded to")])
def test_a_lost_loss_goes_back_and_on_with_half_the_rate(monkeypatch, value, what):
    monkeypatch.setattr(module, "DIVERGENCE_STEPS", 5)
    _, recorder, outcome = run(network=spoil(make_network(), 41, value), patience=0)
    (line,) = recorder.lines
    assert what in line
    assert "with half the rate (1 of 3 times)" in line
    ((at, back, *_),) = steps_of(recorder)
    assert back < 41 <= at <= 50
    assert outcome.stop_reason == "finished"
    assert outcome.best_loss < math.log(5)
    _, plain, expected = run(patience=0)
    for row, usual in zip(outcome.rows, expected.rows, strict=True):
        half = 0.5 if row["step"] > back else 1.0
        assert row["learning_rate"] == pytest.approx(half * usual["learning_rate"])
    assert plain.lines == []


def test_a_loss_that_is_lost_for_good_ends_the_run_and_what_was_kept_stays(tmp_path):
    network, recorder = make_network(), Recorder()
    store = FileStore(tmp_path, recorder.lines.append)
    loss = network.loss

    def spoilt(*given):
        actual, state = loss(*given)
        return (actual * math.nan if given[2].h.any() and actual.requires_grad else actual), state

    network.loss = spoilt
    with pytest.raises(
        TrainingError, match=r"step \d+: the loss is not finite, after going back .* 3 times"
    ):
        run(network=network, recorder=recorder, store=store)
    assert [line.rpartition("(")[2] for line in recorder.lines] == [
        f"{n} of 3 times)" for n in (1, 2, 3)
    ]
    assert find_checkpoints(tmp_path)
    # Who goes on with it all the same begins at the lowered rate, and gives up at once.
    with pytest.raises(TrainingError):
        run(network=network, recorder=(again := Recorder()), store=store)
    assert again.lines == []


def test_weights_that_are_not_finite_are_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL", 0.0)
    network = make_network()
    steps = itertools.count(1)

    def lose(*_):
        if next(steps) == 30:
            network.decoder.bias.data[0] = math.inf

    store = FileStore(tmp_path, print)
    save = store.save
    monkeypatch.setattr(store, "save", lambda checkpoint: (save(checkpoint), lose()))
    _, recorder, outcome = run(network=network, store=store, epochs=5.0)
    (line,) = recorder.lines
    assert "not finite; back to step" in line
    assert outcome.stop_reason == "finished"


@pytest.mark.parametrize("where", ["a step", "a validation"])
def test_a_stop_that_is_asked_for_waits_until_the_run_is_whole(tmp_path, where):
    network = make_network()
    loss, calls = network.loss, itertools.count(1)

    def interrupted(*given):
        actual = loss(*given)
        if actual[0].requires_grad == (where == "a step") and next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return actual

    network.loss = interrupted
    store = FileStore(tmp_path, print)
    _, _, outcome = run(network=network, store=store, epochs=5.0)
    assert outcome.stop_reason == "interrupted"
    actual, _, _ = run(network=make_network(), store=store, epochs=5.0)
    expected, _, _ = run(epochs=5.0)
    for name, weight in expected.export().items():
        np.testing.assert_array_equal(weight, actual.export()[name])


def test_what_is_validated_and_kept_is_the_average():
    network, recorder, outcome = run(averaging="ema", ema_decay=0.95, epochs=30.0)
    assert outcome.best_loss < 0.3
    kept = measure_loss(network, CYCLE[:100], CPU, bptt=10)
    assert kept == pytest.approx(min(recorder.losses), abs=1e-6)
    plain, _, _ = run(epochs=30.0)
    assert any(
        not np.array_equal(weight, plain.export()[name])
        for name, weight in network.export().items()
    )
