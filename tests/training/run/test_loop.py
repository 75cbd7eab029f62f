"""The loop: same seed same weights, the best kept, early stopping, Ctrl-C, going on, going back."""

import itertools
import math
import signal

import numpy as np
import pytest
import torch

from carousel.cells import CELLS
from carousel.errors import FolderError, TrainingError
from carousel.storage.config import Config
from carousel.training.nn.network import Network
from carousel.training.run import loop as module
from carousel.training.run.checkpoint import Checkpoint, Files, Memory, find_checkpoints
from carousel.training.run.loop import fit
from carousel.training.run.optimizer import schedule
from carousel.training.run.validation import measure_loss
from carousel.training.settings import Settings

CPU = torch.device("cpu")
V = 7
CYCLE = np.tile(np.array([2, 5, 3, 6, 4], dtype=np.uint16), 60)
NOISE = np.random.default_rng(0).integers(2, V, 300).astype(np.uint16)


def make_network(**sizes):
    torch.manual_seed(3)
    sizes = {"cell": "gru", "embedding_size": 4, "hidden_size": 8, "layers": 1} | sizes
    return Network(Config(vocab_size=V, tied=False, **sizes))


def make_settings(**table):
    return Settings(**{"batch_size": 4, "bptt": 10, "epochs": 20.0, "learning_rate": 0.02} | table)


class Watcher:
    def __init__(self, on_validation=None):
        self.losses, self.best, self.progress, self.said = [], [], [], []
        self.then = on_validation

    def on_start(self, progress, rows):
        self.losses = [row["valid_loss"] for row in rows]

    def say(self, line):
        self.said.append(line)

    def on_progress(self, progress):
        self.progress.append(progress.fraction)

    def on_validation(self, progress, *, best):
        self.losses.append(progress.valid_loss)
        self.best.append(best)
        if self.then:
            self.then(progress)


def run(train=CYCLE, valid=CYCLE[:100], network=None, watcher=None, store=None, **table):
    network = network or make_network()
    watcher = watcher or Watcher()
    outcome = fit(network, train, valid, make_settings(**table), watcher, CPU, store)
    return network, watcher, outcome


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_cycle_is_learned(optimizer):
    rate = 0.02 if optimizer == "adamw" else 1.0
    _, watcher, outcome = run(optimizer=optimizer, learning_rate=rate, epochs=30.0)
    assert outcome.stopped == "finished"
    assert watcher.losses[0] > outcome.best_loss
    assert outcome.best_loss < 0.2  # of log(5) nats that guessing costs
    assert watcher.progress[-1] == 1


def test_the_same_seed_gives_the_same_weights():
    (a, _, _), (b, _, _) = run(epochs=3.0), run(epochs=3.0)
    for name, weight in a.export().items():
        np.testing.assert_array_equal(weight, b.export()[name])


def test_the_best_weights_are_the_ones_that_stay():
    # What validation wants is the opposite of what training teaches: the first is the best.
    network, watcher, outcome = run(valid=CYCLE[::-1].copy(), patience=0)
    assert watcher.losses[-1] > outcome.best_loss
    assert outcome.best_loss == min(watcher.losses)
    found = measure_loss(network, CYCLE[::-1].copy(), CPU, bptt=10)
    assert found == pytest.approx(outcome.best_loss, rel=1e-6)


def test_training_stops_early_when_validation_gets_no_better():
    _, watcher, outcome = run(valid=NOISE[:60], patience=3)
    assert outcome.stopped == "early"
    assert watcher.best[-4:] == [True, False, False, False]


def test_an_interrupt_keeps_the_best_so_far():
    def stop(progress):
        if progress.fraction > 0.4:
            raise KeyboardInterrupt

    network, watcher, outcome = run(watcher=Watcher(stop))
    assert outcome.stopped == "interrupted"
    assert watcher.progress == [] or max(watcher.progress) < 0.6
    assert measure_loss(network, CYCLE[:100], CPU, bptt=10) == pytest.approx(outcome.best_loss)


def test_an_interrupt_before_any_validation_keeps_the_weights(monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure_loss", stop)
    _, _, outcome = run()
    assert outcome.stopped == "interrupted"
    assert outcome.best_loss == math.inf


def test_minutes_end_the_run_and_its_schedule(monkeypatch):
    clock = iter(np.arange(0, 1e6, 0.5))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    _, watcher, outcome = run(epochs=None, max_minutes=2.0, patience=0)
    assert outcome.stopped == "finished"
    assert watcher.progress[-1] == 1
    assert outcome.rows[-1]["learning_rate"] < 1e-3
    assert outcome.rows[-1]["seconds"] == pytest.approx(120, abs=5)


def test_the_loss_is_the_mean_over_contiguous_streams():
    network = make_network()
    ids = torch.from_numpy(NOISE[:41].astype(np.int64))[:, None]
    with torch.no_grad():
        expected, _ = network.loss(ids[:-1], ids[1:], network.initial_state(1))
    assert measure_loss(network, NOISE[:41], CPU, bptt=40) == pytest.approx(expected.item())
    # Carried state: short pieces of the same stream give the same.
    state, total = network.initial_state(1), 0.0
    for at in range(0, 40, 8):
        part = ids[at : at + 9]
        with torch.no_grad():
            loss, state = network.loss(part[:-1], part[1:], state)
        total += loss.item() / 5
    assert total == pytest.approx(expected.item(), rel=1e-5)


def test_the_schedule_rises_then_falls_to_nothing():
    values = [schedule(at, 0.1) for at in np.linspace(0, 1, 101)]
    assert values[5] == pytest.approx(0.5)
    assert max(values) == values[10] == 1
    assert values[-1] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in itertools.pairwise(values[10:]))
    assert schedule(0.0, 0.0) == 1


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
    dropout = table.get("dropout", 0.0)
    for call in [*kills, 0]:
        network = make_network(**sizes)
        network.dropout.p = dropout
        torch.manual_seed(5)
        watcher = Watcher()
        settings = make_settings(epochs=4.0, **table)
        try:
            outcome = fit(kill_at(network, call), CYCLE, NOISE[:60], settings, watcher, CPU, store)
        except KilledError:
            continue
    return network, watcher, outcome


@pytest.mark.parametrize(
    "table",
    [
        *({"cell": cell, "dropout": 0.3} for cell in CELLS),
        {"optimizer": "sgd", "cell": "lstm", "layers": 2, "dropout": 0.3},
    ],
    ids=str,
)
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, monkeypatch, table):
    monkeypatch.setattr(module, "LOOK_EVERY", 7)
    whole, _, expected = finished(None, patience=3, **table)
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 0.0)
    store = Files(tmp_path, print)
    again, watcher, found = finished(store, [1, 2, 5, 9, 13], patience=3, **table)
    for name, weight in whole.export().items():
        np.testing.assert_array_equal(weight, again.export()[name])
    assert (found.stopped, found.best_loss) == (expected.stopped, expected.best_loss)
    assert watcher.losses == [row["valid_loss"] for row in found.rows]
    for ours, theirs in zip(found.rows, expected.rows, strict=True):
        for clock in ("seconds", "tokens_per_second"):
            ours.pop(clock), theirs.pop(clock)
        assert ours == theirs
    assert len(list(tmp_path.glob("step-*"))) == 2


def spoil(network, at, value=math.nan):
    """Have the loss of the ``at``-th step come out times ``value``."""
    loss, steps = network.loss, itertools.count(1)

    def spoilt(*given):
        found, state = loss(*given)
        # Validation asks for no gradients.
        if found.requires_grad and next(steps) == at:
            found = found * value
        return found, state

    network.loss = spoilt
    return network


def steps_of(watcher):
    return [
        [int(word.strip(":;")) for word in line.split() if word.strip(":;").isdigit()]
        for line in watcher.said
    ]


@pytest.mark.parametrize(("value", "what"), [(math.nan, "not finite"), (1e4, "has exploded to")])
def test_a_lost_loss_goes_back_and_on_with_half_the_rate(monkeypatch, value, what):
    monkeypatch.setattr(module, "LOOK_EVERY", 5)
    _, watcher, outcome = run(network=spoil(make_network(), 41, value), patience=0)
    (line,) = watcher.said
    assert what in line
    assert "with half the rate (1 of 3 times)" in line
    ((at, back, *_),) = steps_of(watcher)
    assert back < 41 <= at <= 50
    assert outcome.stopped == "finished"
    assert outcome.best_loss < math.log(5)
    _, plain, expected = run(patience=0)
    for row, usual in zip(outcome.rows, expected.rows, strict=True):
        half = 0.5 if row["step"] > back else 1.0
        assert row["learning_rate"] == pytest.approx(half * usual["learning_rate"])
    assert plain.said == []


def test_a_loss_that_is_lost_for_good_ends_the_run_and_what_was_kept_stays(tmp_path):
    network, watcher = make_network(), Watcher()
    store = Files(tmp_path, watcher.say)
    loss = network.loss

    def spoilt(*given):
        found, state = loss(*given)
        return (found * math.nan if given[2].h.any() and found.requires_grad else found), state

    network.loss = spoilt
    with pytest.raises(TrainingError, match=r"step \d+: the loss is not finite, after 3 times"):
        run(network=network, watcher=watcher, store=store)
    assert [line.rpartition("(")[2] for line in watcher.said] == [
        f"{n} of 3 times)" for n in (1, 2, 3)
    ]
    assert find_checkpoints(tmp_path)
    # Who goes on with it all the same begins at the lowered rate, and gives up at once.
    with pytest.raises(TrainingError):
        run(network=network, watcher=(again := Watcher()), store=store)
    assert again.said == []


def test_weights_that_are_not_finite_are_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECKPOINT_EVERY", 0.0)
    network = make_network()
    steps = itertools.count(1)

    def lose(*_):
        if next(steps) == 30:
            network.decoder.bias.data[0] = math.inf

    store = Files(tmp_path, print)
    save = store.save
    monkeypatch.setattr(store, "save", lambda checkpoint: (save(checkpoint), lose()))
    _, watcher, outcome = run(network=network, store=store, epochs=5.0)
    (line,) = watcher.said
    assert "not finite; back to step" in line
    assert outcome.stopped == "finished"


@pytest.mark.parametrize("where", ["a step", "a validation"])
def test_a_stop_that_is_asked_for_waits_until_the_run_is_whole(tmp_path, where):
    network = make_network()
    loss, calls = network.loss, itertools.count(1)

    def interrupted(*given):
        found = loss(*given)
        if found[0].requires_grad == (where == "a step") and next(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return found

    network.loss = interrupted
    store = Files(tmp_path, print)
    _, _, outcome = run(network=network, store=store, epochs=5.0)
    assert outcome.stopped == "interrupted"
    found, _, _ = run(network=make_network(), store=store, epochs=5.0)
    expected, _, _ = run(epochs=5.0)
    for name, weight in expected.export().items():
        np.testing.assert_array_equal(weight, found.export()[name])


COUNTERS = [
    ({"step": "3"}, "step can't be '3'"),
    ({"step": -1}, "step -1 at a rate of 1.0 can't be"),
    ({"rate": 2.0}, "at a rate of 2.0 can't be"),
    ({"valid_loss": 3}, "valid_loss can't be 3"),
    ({"rows": [3]}, "rows must be a list of tables"),
    ({"more": 1}, "its counters are not step, tokens"),
]


@pytest.mark.parametrize(("change", "said"), COUNTERS, ids=[said for _, said in COUNTERS])
def test_counters_that_can_not_be_are_refused(change, said):
    class Changed(Memory):
        def load(self, plan):
            found = super().load(plan)
            if found is not None:
                found.counters = found.counters | change
                plan.check(found)
            return found

    store = Changed()
    run(store=store, epochs=1.0)
    with pytest.raises(FolderError, match=said):
        run(store=store, epochs=1.0)


def test_moments_and_random_states_that_can_not_be_are_refused():
    store = Memory()
    run(store=store, epochs=5.0)
    for name, part, said in (
        ("optimizer.1.step", None, "weight 1, some lacks"),
        ("random.cpu", torch.full_like(torch.get_rng_state(), 255), "no state of random numbers"),
    ):
        tensors = dict(store.last.tensors)
        tensors[name] = part
        tensors = {key: value for key, value in tensors.items() if value is not None}
        changed = Memory()
        changed.last = Checkpoint(tensors, store.last.counters)
        changed.load = lambda plan, it=changed.last: plan.check(it)
        with pytest.raises(FolderError, match=said):
            run(store=changed, epochs=5.0)
