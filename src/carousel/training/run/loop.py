"""The training loop: truncated BPTT over contiguous streams, keeping the best weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from carousel.errors import TrainingError
from carousel.training.data.batches import Batch, to_device
from carousel.training.data.streams import Streams
from carousel.training.data.unknown_words import UnknownWords
from carousel.training.nn.cutoffs import count_tokens
from carousel.training.nn.network import Network
from carousel.training.run.averaging import WeightAverage
from carousel.training.run.callbacks import Callback
from carousel.training.run.checkpoint import (
    CheckpointSpec,
    CheckpointStore,
    MemoryStore,
    tensor_specs,
)
from carousel.training.run.distributed import Processes, SingleProcess
from carousel.training.run.divergence import DivergenceError, check_finite, check_loss
from carousel.training.run.interrupts import StopRequest, StopRequestedError, handle_interrupts
from carousel.training.run.l2_sp import L2SP
from carousel.training.run.optimizer import learning_rate_factor, make_optimizer
from carousel.training.run.progress import Outcome
from carousel.training.run.state import TrainingState
from carousel.training.run.validation import measure_loss
from carousel.training.settings import Settings

DEFAULT_EPOCHS = 10.0
PROGRESS_INTERVAL = 0.5
"""Seconds between two calls of ``on_progress``."""
VALIDATION_INTERVAL = 0.05
"""The fraction of the run after which to validate again, if that costs little."""
CHECKPOINT_INTERVAL = 120.0
"""Seconds between two checkpoints, if there is no validation before."""
DIVERGENCE_STEPS = 100
"""Steps over whose mean loss a divergence is judged: a few bad steps are none."""
MAX_ROLLBACKS = 3
"""How often a run goes back to its last checkpoint before it gives up."""


def fit(
    network: Network,
    train_ids: np.ndarray,
    valid_ids: np.ndarray,
    settings: Settings,
    callbacks: Sequence[Callback],
    device: torch.device,
    store: CheckpointStore | None = None,
    group: Processes | None = None,
) -> Outcome:
    """Train a network in place. At the end it holds the weights that were best on validation.

    The same seed on the same machine gives the same weights, if the length is given in epochs.
    Ctrl-C ends the run after the current step.

    Args:
        network: the network, on ``device``.
        train_ids: the text to train on, ``[N]``.
        valid_ids: the text to validate on, ``[M]``.
        settings: the run's settings.
        callbacks: told of the progress, in this order.
        device: where to compute.
        store: where checkpoints are kept, in memory by default. If it has one, the run is resumed
            from it.
        group: the processes of the run. Each reads its part of the streams.

    Raises:
        TrainingError: the loss diverges again and again, at lower and lower learning rates.
        FolderError: the store or a callback can't write, or a checkpoint is not of this run.
    """
    group = group or SingleProcess()
    with handle_interrupts() as stop:
        loop = _Loop(network, train_ids, valid_ids, settings, callbacks, device, store, group, stop)
        try:
            stop_reason = loop.run()
        except StopRequestedError:
            # A state that is not good is not saved: the run is resumed from the checkpoint before.
            with suppress(DivergenceError):
                loop.check_divergence()
                loop.save_checkpoint()
            stop_reason = "interrupted"
        except KeyboardInterrupt:
            if group.world_size > 1:  # the others are elsewhere, and can't do the rest together
                raise
            stop_reason = "interrupted"
        loop.load_best_weights()
    outcome = Outcome(stop_reason, loop.state.progress.best_loss, loop.state.rows)
    outcome.signal_number = stop.signal_number
    for callback in callbacks:
        callback.on_train_end(outcome)
    return outcome


class _Loop:
    """The loop over a ``TrainingState``."""

    def __init__(
        self,
        network: Network,
        train_ids: np.ndarray,
        valid_ids: np.ndarray,
        settings: Settings,
        callbacks: Sequence[Callback],
        device: torch.device,
        store: CheckpointStore | None,
        group: Processes,
        stop: StopRequest,
    ) -> None:
        self.settings, self.callbacks, self.device = settings, callbacks, device
        self.valid_ids, self.group, self.stop = valid_ids, group, stop
        self.streams = Streams(train_ids, settings.batch_size, group.shard(settings.batch_size))
        counts = count_tokens(train_ids, network.config.vocab_size)
        self.unknown_words = UnknownWords.of(
            counts, settings.tokenizer, settings.unk_probability, settings.seed
        )
        self.store = group.share_store(store or MemoryStore())
        self.loss_function = group.data_parallel(network)
        self.state = TrainingState(
            network=network,
            optimizer=make_optimizer(network, settings, device),
            optimizer_name=settings.optimizer,
            recurrent=network.initial_state(self.streams.shard_size),
            loss_sum=torch.zeros((), device=device),
            recent_loss_sum=torch.zeros((), device=device),
        )
        # Before a checkpoint is loaded: a resumed run is made of the same starting point.
        self.l2_sp = L2SP(self.state.weights(), settings.l2_sp) if settings.l2_sp else None
        if settings.averaging != "none":
            self.state.average = WeightAverage(
                settings.averaging, self.state.weights(), settings.ema_decay
            )
        self.steps_per_epoch = self.streams.count_batches(settings.bptt)
        epochs = settings.epochs or (None if settings.max_minutes else DEFAULT_EPOCHS)
        self.last_step = None if epochs is None else math.ceil(epochs * self.steps_per_epoch)
        self.stop_requested = False
        self.saved_seconds = 0.0
        self.start_time = self.reported_time = 0.0

    def run(self) -> str:
        """Train to the end; returns the stop reason."""
        self.begin()
        while True:
            try:
                # Before the first step, too: a run may have stopped where a validation was due.
                if stop_reason := self.validate_or_save():
                    return stop_reason
                for inputs, targets in self.remaining_batches():
                    self.train_step(inputs, targets)
                    self.update_progress()
                    if stop_reason := self.validate_or_save():
                        return stop_reason
            except DivergenceError as error:
                self.rollback(str(error))

    def remaining_batches(self) -> Iterator[Batch]:
        """All batches from the present step on. Each epoch begins with a zero state."""
        settings = self.settings
        epoch, first = divmod(self.state.progress.step, self.steps_per_epoch)
        while True:
            if first == 0:
                self.state.recurrent = self.state.network.initial_state(self.streams.shard_size)
            seed = (settings.seed, epoch) if settings.random_bptt else None
            batches = self.streams.batches(settings.bptt, first, seed)
            if self.unknown_words is not None:
                batches = self.unknown_words.replace(batches, epoch, first, self.streams.shard)
            yield from to_device(batches, self.device)
            epoch, first = epoch + 1, 0

    def train_step(self, inputs: Tensor, targets: Tensor) -> None:
        """One step of the optimizer on ``inputs`` and ``targets [T, B]``."""
        settings, state, progress = self.settings, self.state, self.state.progress
        factor = learning_rate_factor(progress.fraction, settings.warmup, settings.schedule)
        if settings.random_bptt:
            factor *= len(targets) / settings.bptt
        progress.learning_rate = settings.learning_rate * state.learning_rate_scale * factor
        for param_group in state.optimizer.param_groups:
            param_group["lr"] = progress.learning_rate
        self.group.manual_seed(settings.seed, progress.step)
        # First, since the fused losses make the new gradients with the loss: never hold both.
        state.optimizer.zero_grad(set_to_none=True)
        with state.network.autocast():
            loss, recurrent = self.loss_function(inputs, targets, state.recurrent)
        # Processes may have unequal numbers of streams; DistributedDataParallel weighs all alike.
        weight = self.streams.shard_size / settings.batch_size
        loss.backward(torch.full_like(loss, weight * self.group.world_size))  # type: ignore[no-untyped-call]
        if settings.grad_clip:
            torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.grad_clip)
        state.optimizer.step()
        if self.l2_sp is not None:
            self.l2_sp.apply(state.weights(), progress.learning_rate)
        if state.average is not None:
            state.average.update(state.weights())
        state.recurrent = type(recurrent)(*(part.detach() for part in recurrent))
        mean_loss = self.group.all_reduce(loss.detach() * weight)
        state.loss_sum += mean_loss
        state.recent_loss_sum += mean_loss
        state.loss_count += 1
        progress.step += 1
        progress.tokens += len(targets) * settings.batch_size

    def validate_or_save(self) -> str | None:
        """Between two steps: validate, save, stop. Returns the stop reason if the run is over."""
        state, progress = self.state, self.state.progress
        if progress.step and progress.step % DIVERGENCE_STEPS == 0:
            self.check_recent_loss()
        finished = progress.fraction >= 1
        if finished or self.is_validation_due():
            self.check_divergence()
            self.validate()
            if finished:
                return "finished"
            patience = self.settings.patience
            if patience and state.validations_without_improvement >= patience:
                return "early"
            self.save_checkpoint()
        elif progress.seconds - self.saved_seconds >= CHECKPOINT_INTERVAL:
            self.check_divergence()
            self.save_checkpoint()
        if self.stop_requested:
            raise StopRequestedError
        return None

    def begin(self) -> None:
        """Start, or resume from the store's last checkpoint."""
        state = self.state
        state.network.train()
        checkpoint = self.store.load(self.checkpoint_spec())
        if checkpoint is None:
            self.save_checkpoint()
        else:
            state.load_checkpoint(checkpoint, self.streams.shard)
            self.load_best_weights()
        for callback in self.callbacks:
            callback.on_train_begin(state.progress, state.rows)
        if checkpoint is not None:
            state.load_checkpoint(checkpoint, self.streams.shard)
        self.saved_seconds = state.progress.seconds
        self.reported_time = self.read_clock()
        self.start_time = self.reported_time - state.progress.seconds

    def read_clock(self) -> float:
        """The clock of process 0, in seconds. Also learns whether any process is to stop."""
        clock = time.monotonic() if self.group.rank == 0 else 0.0
        message = torch.tensor([clock, self.stop.requested], dtype=torch.float64)
        message = self.group.all_reduce(message)
        self.stop_requested = bool(message[1] > 0)
        return float(message[0])

    def update_progress(self) -> None:
        """Bring times, speed and the fraction of the run up to date, and report them."""
        state, progress = self.state, self.state.progress
        now = self.read_clock()
        progress.seconds = now - self.start_time
        progress.epoch = progress.step / self.steps_per_epoch
        training_seconds = progress.seconds - state.total_validation_seconds
        progress.tokens_per_second = progress.tokens / max(training_seconds, 1e-9)
        if self.last_step is not None:
            progress.fraction = progress.step / self.last_step
        else:
            # The last validation is part of the time that was asked for.
            limit = 60 * (self.settings.max_minutes or 0) - state.validation_seconds
            progress.fraction = min(1.0, progress.seconds / max(limit, 1e-9))
        if now - self.reported_time > PROGRESS_INTERVAL or progress.fraction >= 1:
            self.reported_time = now
            progress.train_loss = state.loss_sum.item() / state.loss_count
            check_loss(progress.train_loss)
            for callback in self.callbacks:
                callback.on_progress(progress)

    def is_validation_due(self) -> bool:
        """Whether to validate now.

        Reading costs about a third of training: with five times as many tokens in between,
        validations take less than a tenth of the run.
        """
        state, progress = self.state, self.state.progress
        return (
            progress.fraction - state.validated_fraction >= VALIDATION_INTERVAL
            and progress.tokens - state.validated_tokens >= 5 * len(self.valid_ids)
        )

    def validate(self) -> None:
        """Measure the loss on the validation text, and keep the weights if they are the best.

        Where weights are averaged, the average is what is measured and kept.
        """
        with self.state.averaged_weights():
            self._validate()
        if self.state.average is not None:
            losses = [float(row["valid_loss"] or 0) for row in self.state.rows]
            self.state.average.look_at(losses)

    def _validate(self) -> None:
        state, progress = self.state, self.state.progress
        begin = self.read_clock()
        valid_loss = measure_loss(
            state.network,
            self.valid_ids,
            self.device,
            bptt=self.settings.bptt,
            stop=self.stop,
            group=self.group,
        )
        check_loss(valid_loss, name="the loss on validation")
        progress.valid_loss = valid_loss
        end = self.read_clock()
        state.validation_seconds = end - begin
        state.total_validation_seconds += state.validation_seconds
        state.validated_fraction, state.validated_tokens = progress.fraction, progress.tokens
        progress.train_loss = state.loss_sum.item() / max(1, state.loss_count)
        state.loss_sum.zero_()
        state.loss_count = 0
        is_best = valid_loss < progress.best_loss
        if is_best:
            progress.best_loss = valid_loss
            self.store.save_best(state.weights())
        state.validations_without_improvement = (
            0 if is_best else state.validations_without_improvement + 1
        )
        progress.seconds = end - self.start_time
        state.rows.append(progress.to_row())
        for callback in self.callbacks:
            callback.on_validation(progress, is_best=is_best)

    def check_recent_loss(self) -> None:
        """Raise DivergenceError if the last steps' mean loss has exploded; then count anew."""
        loss = self.state.recent_loss_sum.item() / DIVERGENCE_STEPS
        self.state.recent_loss_sum.zero_()
        check_loss(loss, self.state.network.config.vocab_size)

    def check_divergence(self) -> None:
        """Raise DivergenceError unless the state is good enough for a checkpoint."""
        state = self.state
        check_finite([state.loss_sum, *state.network.parameters()])
        # What the next check of the recent loss would find if all steps before it had no loss.
        check_loss(state.recent_loss_sum.item() / DIVERGENCE_STEPS, state.network.config.vocab_size)

    def rollback(self, reason: str) -> None:
        """Go back to the last checkpoint, with half the learning rate.

        Raises:
            TrainingError: the run has gone back too often already.
        """
        state = self.state
        step = state.progress.step
        rollbacks, scale = state.rollbacks + 1, state.learning_rate_scale / 2
        if rollbacks > MAX_ROLLBACKS:
            tried = self.settings.learning_rate * state.learning_rate_scale
            raise TrainingError(
                f"step {step}: {reason}, after going back and halving the learning rate "
                f"{MAX_ROLLBACKS} times: try a learning_rate below {tried:g}"
            )
        checkpoint = self.store.load(self.checkpoint_spec())
        assert checkpoint is not None, "a run saves before its first step"
        state.load_checkpoint(checkpoint, self.streams.shard)
        state.rollbacks, state.learning_rate_scale = rollbacks, scale
        # So that a run that is killed now still knows of its lower rate.
        self.store.save(state.to_checkpoint(self.group, self.settings.batch_size))
        for callback in self.callbacks:
            callback.on_message(
                f"step {step}: {reason}; back to step {state.progress.step} with half the rate "
                f"({rollbacks} of {MAX_ROLLBACKS} times)"
            )

    def save_checkpoint(self) -> None:
        """Keep the present state in the store."""
        self.store.save(self.state.to_checkpoint(self.group, self.settings.batch_size))
        self.saved_seconds = self.state.progress.seconds

    def checkpoint_spec(self) -> CheckpointSpec:
        """What a checkpoint of this run must hold."""
        return self.state.checkpoint_spec(self.settings.batch_size)

    def load_best_weights(self) -> None:
        """Put the best weights so far into the network, if there was a validation."""
        if math.isfinite(self.state.progress.best_loss):
            best = self.store.load_best(CheckpointSpec(tensor_specs(self.state.weights())))
            if best is not None:
                self.state.load_weights(best)
