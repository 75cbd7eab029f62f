"""The training loop: truncated BPTT over contiguous streams, the best model on validation kept."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carousel.errors import TrainingError
from carousel.training.data.batches import on_device
from carousel.training.data.streams import Streams
from carousel.training.nn.network import Network
from carousel.training.run.checkpoint import Checkpoint, Memory, Plan, Store, check_counters, specs
from carousel.training.run.distributed import Alone, Group
from carousel.training.run.divergence import LostError, check_finite, check_mean
from carousel.training.run.interrupts import Stop, StopAskedError, listen
from carousel.training.run.optimizer import MOMENTS, make_optimizer, schedule
from carousel.training.run.progress import Outcome, Progress, Row, Watcher
from carousel.training.run.validation import autocast, measure_loss
from carousel.training.settings import Settings

LOG_EVERY = 0.5
"""Seconds between two reports of progress."""
VALIDATE_EVERY = 0.05
"""The share of the run after which to validate again, if that costs little."""
CHECKPOINT_EVERY = 120.0
"""Seconds between two checkpoints, where no validation comes first."""
LOOK_EVERY = 100
"""Steps over which the mean loss is looked at: a few bad ones are no explosion."""
RETREATS = 3
"""How often a run goes back to its last checkpoint before it gives up."""


def fit(
    network: Network,
    train_ids: np.ndarray,
    valid_ids: np.ndarray,
    settings: Settings,
    watcher: Watcher,
    device: torch.device,
    store: Store | None = None,
    group: Group | None = None,
) -> Outcome:
    """Train ``network`` in place and leave the weights that were best on ``valid_ids`` in it.

    The same seed on the same machine gives the same weights, where the length is given in epochs.
    Ctrl-C ends the run after the step at hand with the best weights so far. ``store`` keeps the
    run's checkpoints, in memory by default; from the last one that is in it, the run goes on.
    With a ``group`` this process reads its share of the streams, and all end up the same.

    Raises:
        TrainingError: the loss is lost again and again, at lower and lower rates.
        FolderError: the store or the watcher can't write, or a checkpoint is not of this run.
    """
    group = group or Alone()
    streams = Streams(train_ids, settings.batch_size, group.share(settings.batch_size))
    store = group.store(store or Memory())
    with listen() as stop:
        run = _Run(network, streams, valid_ids, settings, watcher, device, store, group, stop)
        try:
            stopped = run.train()
        except StopAskedError:
            # What is not good is not kept: the checkpoint before it is gone on from.
            with suppress(LostError):
                run.check()
                run.save()
            stopped = "interrupted"
        except KeyboardInterrupt:
            if group.size > 1:  # the others are elsewhere: there is nothing to do together
                raise
            stopped = "interrupted"
        run.use_best()
    return Outcome(stopped, run.progress.best_loss, run.rows)


class _Run:
    COUNTED = (
        "loss_count", "worse_in_a_row", "validated_at", "tokens_at", "validation_seconds",
        "validating", "rate", "retreats",
    )  # fmt: skip
    """The numbers that a checkpoint holds, beside those of ``Progress``."""

    def __init__(
        self,
        network: Network,
        streams: Streams,
        valid_ids: np.ndarray,
        settings: Settings,
        watcher: Watcher,
        device: torch.device,
        store: Store,
        group: Group,
        stop: Stop,
    ) -> None:
        self.network, self.streams, self.valid_ids = network, streams, valid_ids
        self.settings, self.watcher, self.device = settings, watcher, device
        self.store, self.group, self.stop = store, group, stop
        self.asked = False
        self.progress = Progress()
        self.rows: list[Row] = []
        self.worse_in_a_row = 0
        self.optimizer = make_optimizer(network, settings, device)
        epochs = settings.epochs or (None if settings.max_minutes else 10.0)
        self.last_step = None if epochs is None else math.ceil(epochs * self.steps_per_epoch)
        self.state = network.initial_state(streams.width)
        self.validated_at = 0.0
        self.tokens_at = 0
        self.validation_seconds = 0.0
        self.validating = 0.0
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0
        self.recent = torch.zeros((), device=device)
        self.rate = 1.0
        self.retreats = 0
        self.saved_at = 0.0
        self.started = self.reported = 0.0

    @property
    def steps_per_epoch(self) -> int:
        return self.streams.count(self.settings.bptt)

    def train(self) -> str:
        self.network.train()
        self.begin()
        while True:
            try:
                # Also before the first step: a run may have stopped where a validation was due.
                if stopped := self.take_stock():
                    return stopped
                for x, y in self.pieces():
                    self.step(x, y)
                    if stopped := self.take_stock():
                        return stopped
            except LostError as lost:
                self.go_back(str(lost))

    def begin(self) -> None:
        """Start, or go on from the store's last checkpoint."""
        found = self.store.load(self.plan())
        if found is None:
            self.group.equal(self.weights().values())
            self.store.save(self.checkpoint())
        else:
            self.restore(found)
            self.use_best()
        self.watcher.on_start(self.progress, self.rows)
        if found is not None:
            self.restore(found)
        self.saved_at = self.progress.seconds
        self.reported = self.now()
        self.started = self.reported - self.progress.seconds

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All that is left to read, epoch after epoch; each epoch begins with a zero state."""
        at = self.progress.step % self.steps_per_epoch
        while True:
            if at == 0:
                self.state = self.network.initial_state(self.streams.width)
            yield from on_device(self.streams.pieces(self.settings.bptt, at), self.device)
            at = 0

    def step(self, x: Tensor, y: Tensor) -> None:
        settings, progress = self.settings, self.progress
        progress.learning_rate = (
            settings.learning_rate * self.rate * schedule(progress.fraction, settings.warmup)
        )
        for group in self.optimizer.param_groups:
            group["lr"] = progress.learning_rate
        self.group.seed(settings.seed, progress.step)
        # First, as the fused losses make the new gradients with the loss: never hold both.
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.network, self.device):
            loss, state = self.network.loss(x, y, self.state)
        loss.backward()  # type: ignore[no-untyped-call]
        share = self.streams.width / settings.batch_size
        loss = self.group.average(loss.detach(), self.weights().values(), share)
        if settings.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.grad_clip)
        self.optimizer.step()
        self.state = type(state)(*(part.detach() for part in state))
        progress.step += 1
        progress.tokens += len(y) * settings.batch_size
        self.loss_sum += loss
        self.recent += loss
        self.loss_count += 1
        self.clock()

    def now(self) -> float:
        """The run's clock, in seconds; also heard: whether a stop was asked for."""
        now, self.asked = self.group.agree(time.monotonic(), self.stop.asked)
        return now

    def clock(self) -> None:
        progress = self.progress
        now = self.now()
        progress.seconds = now - self.started
        progress.epoch = progress.step / self.steps_per_epoch
        training = progress.seconds - self.validating
        progress.tokens_per_second = progress.tokens / max(training, 1e-9)
        if self.last_step is not None:
            progress.fraction = progress.step / self.last_step
        else:
            # The closing validation is part of the time that was asked for.
            limit = 60 * (self.settings.max_minutes or 0) - self.validation_seconds
            progress.fraction = min(1.0, progress.seconds / max(limit, 1e-9))
        if now - self.reported > LOG_EVERY or progress.fraction >= 1:
            self.reported = now
            progress.train_loss = self.loss_sum.item() / self.loss_count
            check_mean(progress.train_loss)
            self.watcher.on_progress(progress)

    def take_stock(self) -> str | None:
        """Between two steps: validate, save, stop; why the run is over, if it is."""
        progress = self.progress
        if progress.step and progress.step % LOOK_EVERY == 0:
            self.look()
        over = progress.fraction >= 1
        if over or self.validation_due():
            self.check()
            self.validate()
            if over:
                return "finished"
            if self.settings.patience and self.worse_in_a_row >= self.settings.patience:
                return "early"
            self.save()
        elif progress.seconds - self.saved_at >= CHECKPOINT_EVERY:
            self.check()
            self.save()
        if self.asked:
            raise StopAskedError
        return None

    def look(self) -> None:
        """Whether the last steps' mean loss has exploded: on a GPU, the one look into it."""
        mean = self.recent.item() / LOOK_EVERY
        self.recent.zero_()
        check_mean(mean, self.network.config.vocab_size)

    def check(self) -> None:
        """Whether all is finite and nothing explodes: only then is a checkpoint good."""
        check_finite([self.loss_sum, *self.network.parameters()])
        # What the next look would find, had all the steps before it no loss at all.
        check_mean(self.recent.item() / LOOK_EVERY, self.network.config.vocab_size)

    def go_back(self, why: str) -> None:
        step = self.progress.step
        retreats, rate = self.retreats + 1, self.rate / 2
        if retreats > RETREATS:
            raise TrainingError(
                f"step {step}: {why}, after {RETREATS} times of going back and halving the rate: "
                f"try a learning_rate below {self.settings.learning_rate * self.rate:g}"
            )
        found = self.store.load(self.plan())
        assert found is not None, "a run saves before its first step"
        self.restore(found)
        self.retreats, self.rate = retreats, rate
        # So that a run that is killed now still knows of its lower rate.
        self.store.save(self.checkpoint())
        self.watcher.say(
            f"step {step}: {why}; back to step {self.progress.step} with half the rate "
            f"({retreats} of {RETREATS} times)"
        )

    def validation_due(self) -> bool:
        # Reading costs about a third of training: after five times as many words a validation
        # takes under a tenth of the run.
        return (
            self.progress.fraction - self.validated_at >= VALIDATE_EVERY
            and self.progress.tokens - self.tokens_at >= 5 * len(self.valid_ids)
        )

    def validate(self) -> None:
        progress = self.progress
        began = self.now()
        valid_loss = measure_loss(
            self.network,
            self.valid_ids,
            self.device,
            bptt=self.settings.bptt,
            stop=self.stop,
            group=self.group,
        )
        check_mean(valid_loss, what="the loss on validation")
        progress.valid_loss = valid_loss
        now = self.now()
        self.validation_seconds = now - began
        self.validating += self.validation_seconds
        self.validated_at, self.tokens_at = progress.fraction, progress.tokens
        progress.train_loss = self.loss_sum.item() / max(1, self.loss_count)
        self.loss_sum.zero_()
        self.loss_count = 0
        best = progress.valid_loss < progress.best_loss
        if best:
            progress.best_loss = progress.valid_loss
            self.store.save_best(self.weights())
        self.worse_in_a_row = 0 if best else self.worse_in_a_row + 1
        progress.seconds = now - self.started
        self.rows.append(progress.row())
        self.watcher.on_validation(progress, best=best)

    def use_best(self) -> None:
        """Put the best weights so far into the network, if any were measured."""
        if math.isfinite(self.progress.best_loss):
            best = self.store.load_best(Plan(specs(self.weights())))
            if best is not None:
                self.put(best)

    @torch.no_grad()
    def put(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights().items():
            weight.copy_(weights[name])

    def weights(self) -> dict[str, Tensor]:
        """Every weight by its name in the network; one that is used twice is there once."""
        return dict(self.network.named_parameters())

    def save(self) -> None:
        self.store.save(self.checkpoint())
        self.saved_at = self.progress.seconds

    def checkpoint(self) -> Checkpoint:
        """All that the run would need to go on from here."""
        tensors = {"loss_sum": self.loss_sum, "recent": self.recent}
        tensors |= {f"weights.{name}": weight for name, weight in self.weights().items()}
        # Of the whole batch, so that any number of processes can go on with it.
        whole = [self.group.whole(part, self.settings.batch_size) for part in self.state]
        tensors |= {f"state.{i}": part for i, part in enumerate(whole)}
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": part for name, part in moments.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        counters: dict[str, Any] = asdict(self.progress)
        counters |= {name: getattr(self, name) for name in self.COUNTED}
        return Checkpoint(tensors, counters | {"rows": list(self.rows)})

    def plan(self) -> Plan:
        """What a checkpoint of this run must hold."""
        random = {"random.cpu": torch.get_rng_state()}
        tensors = {"loss_sum": self.loss_sum, "recent": self.recent, **random}
        tensors |= {f"weights.{name}": weight for name, weight in self.weights().items()}
        whole = self.network.initial_state(self.settings.batch_size)
        tensors |= {f"state.{i}": part for i, part in enumerate(whole)}
        optional = {
            f"optimizer.{number}.{name}": self.loss_sum if name == "step" else weight
            for number, weight in self.numbered_weights()
            for name in MOMENTS[self.settings.optimizer]
        }
        if self.device.type == "cuda":
            optional["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return Plan(specs(tensors), specs(optional), self.check_counters)

    def numbered_weights(self) -> Iterator[tuple[int, Tensor]]:
        """The weights as the optimizer's state counts them."""
        return enumerate(w for group in self.optimizer.param_groups for w in group["params"])

    def check_counters(self, checkpoint: Checkpoint) -> None:
        now: dict[str, Any] = asdict(Progress())
        now |= {name: getattr(self, name) for name in self.COUNTED}
        moments = [
            [f"optimizer.{number}.{name}" for name in MOMENTS[self.settings.optimizer]]
            for number, _ in self.numbered_weights()
        ]
        check_counters(checkpoint, now, moments)

    def restore(self, found: Checkpoint) -> None:
        """Be at ``found``, which has been checked."""
        tensors, counters = found.tensors, found.counters
        self.put({name: tensors[f"weights.{name}"] for name in self.weights()})
        self.state = type(self.state)(
            *(
                tensors[f"state.{i}"][:, self.streams.share].contiguous().to(self.device)
                for i in range(len(self.state))
            )
        )
        self.loss_sum = tensors["loss_sum"].to(self.device, copy=True)
        self.recent = tensors["recent"].to(self.device, copy=True)
        moments: dict[int, dict[str, Tensor]] = {}
        for number, _ in self.numbered_weights():
            for name in MOMENTS[self.settings.optimizer]:
                if (part := tensors.get(f"optimizer.{number}.{name}")) is not None:
                    moments.setdefault(number, {})[name] = part.clone()
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        for field in fields(Progress):
            setattr(self.progress, field.name, counters[field.name])
        for name in self.COUNTED:
            setattr(self, name, counters[name])
        self.rows = list(counters["rows"])
