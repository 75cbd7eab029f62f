"""The training loop: truncated BPTT over contiguous streams, the best model on validation kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from carousel.cells import State
from carousel.training.network import Network
from carousel.training.settings import Settings
from carousel.training.streams import Streams

VALIDATION_BATCH = 32
LOG_EVERY = 0.5
"""Seconds between two reports of progress."""
VALIDATE_EVERY = 0.05
"""The share of the run after which to validate again, if that costs little."""


@dataclass
class Progress:
    """Where a run stands: what the bars show and ``metrics.jsonl`` keeps."""

    step: int = 0
    tokens: int = 0
    epoch: float = 0.0
    """How often the text has been read."""
    fraction: float = 0.0
    """How much of the run is done, 0 to 1."""
    seconds: float = 0.0
    learning_rate: float = 0.0
    train_loss: float = math.nan
    """Mean loss in nats per token since the last validation."""
    valid_loss: float | None = None
    """The latest validation's loss in nats per token."""
    best_loss: float = math.inf
    tokens_per_second: float = 0.0

    def row(self) -> dict[str, float | int | None]:
        """A line of ``metrics.jsonl``."""
        return {
            "step": self.step,
            "tokens": self.tokens,
            "epoch": round(self.epoch, 4),
            "seconds": round(self.seconds, 2),
            "learning_rate": self.learning_rate,
            "train_loss": self.train_loss,
            "train_perplexity": math.exp(min(self.train_loss, 700)),
            "valid_loss": self.valid_loss,
            "valid_perplexity": None if self.valid_loss is None else _perplexity(self.valid_loss),
            "tokens_per_second": round(self.tokens_per_second, 1),
        }


class Watcher(Protocol):
    """Who follows a run: draws bars, writes metrics, saves the best model."""

    def on_progress(self, progress: Progress) -> None:
        """Called a few times a second."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Called after each validation; ``best`` where it was the best so far."""


@dataclass
class Outcome:
    """What a run came to. The network holds the best weights when it is over."""

    stopped: str
    """Why it ended: ``finished``, ``early`` (no better for long) or ``interrupted``."""
    best_loss: float
    """Validation loss in nats per token of the kept weights; infinite where none was measured."""
    rows: list[dict[str, float | int | None]] = field(default_factory=list)


def fit(
    network: Network,
    train_ids: np.ndarray,
    valid_ids: np.ndarray,
    settings: Settings,
    watcher: Watcher,
    device: torch.device,
) -> Outcome:
    """Train ``network`` in place and leave the weights that were best on ``valid_ids`` in it.

    The same seed on the same machine gives the same weights, where the length is given in epochs.
    Ctrl-C ends the run at once with the best weights so far.
    """
    run = _Run(network, Streams(train_ids, settings.batch), valid_ids, settings, watcher, device)
    try:
        stopped = run.train()
    except KeyboardInterrupt:
        stopped = "interrupted"
    if run.best is not None:
        network.load_state_dict(run.best)
    return Outcome(stopped, run.progress.best_loss, run.rows)


@torch.no_grad()
def measure_loss(
    network: Network, ids: np.ndarray, device: torch.device, *, bptt: int = 64
) -> float:
    """Mean loss in nats per token over ``ids [N]``, in contiguous streams from a zero state."""
    network.eval()
    streams = Streams(ids, max(1, min(VALIDATION_BATCH, (len(ids) - 1) // bptt)))
    state = network.initial_state(streams.batch)
    total, count = torch.zeros((), device=device), 0
    for x, y in streams.pieces(bptt):
        with autocast(network, device):
            loss, state = network.loss(x.to(device), y.to(device), state)
        total += loss * y.numel()
        count += y.numel()
    network.train()
    return total.item() / count


class autocast:  # noqa: N801 -- used as torch.autocast is
    """bfloat16 products where the network asks for them (``network.precision``)."""

    def __init__(self, network: Network, device: torch.device) -> None:
        self.context = torch.autocast(
            device.type, torch.bfloat16, enabled=network.precision == "bfloat16"
        )

    def __enter__(self) -> None:
        self.context.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *args: object) -> None:
        self.context.__exit__(*args)


class _Run:
    def __init__(
        self,
        network: Network,
        streams: Streams,
        valid_ids: np.ndarray,
        settings: Settings,
        watcher: Watcher,
        device: torch.device,
    ) -> None:
        self.network, self.streams, self.valid_ids = network, streams, valid_ids
        self.settings, self.watcher, self.device = settings, watcher, device
        self.progress = Progress()
        self.rows: list[dict[str, float | int | None]] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.worse_in_a_row = 0
        self.optimizer = make_optimizer(network, settings, device)
        epochs = settings.epochs or (None if settings.minutes else 10.0)
        self.last_step = None if epochs is None else math.ceil(epochs * self.steps_per_epoch)
        self.validated_at = 0.0
        self.tokens_at = 0
        self.validation_seconds = 0.0
        self.validating = 0.0
        self.loss_sum = torch.zeros((), device=device)
        self.loss_count = 0

    @property
    def steps_per_epoch(self) -> int:
        return self.streams.count(self.settings.bptt)

    def train(self) -> str:
        self.network.train()
        self.started = self.reported = time.monotonic()
        while True:
            state = self.network.initial_state(self.settings.batch)
            for x, y in self.streams.pieces(self.settings.bptt):
                state = self.step(x.to(self.device), y.to(self.device), state)
                over = self.progress.fraction >= 1
                if over or self.validation_due():
                    self.validate()
                    if over:
                        return "finished"
                    if self.settings.patience and self.worse_in_a_row >= self.settings.patience:
                        return "early"

    def step(self, x: torch.Tensor, y: torch.Tensor, state: State) -> State:
        settings, progress = self.settings, self.progress
        progress.learning_rate = settings.learning_rate * schedule(
            progress.fraction, settings.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = progress.learning_rate
        with autocast(self.network, self.device):
            loss, state = self.network.loss(x, y, state)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimizer.step()
        progress.step += 1
        progress.tokens += y.numel()
        self.loss_sum += loss.detach()
        self.loss_count += 1
        self.clock()
        return type(state)(*(part.detach() for part in state))

    def clock(self) -> None:
        progress = self.progress
        now = time.monotonic()
        progress.seconds = now - self.started
        progress.epoch = progress.step / self.steps_per_epoch
        training = progress.seconds - self.validating
        progress.tokens_per_second = progress.tokens / max(training, 1e-9)
        if self.last_step is not None:
            progress.fraction = progress.step / self.last_step
        else:
            # The closing validation is part of the time that was asked for.
            limit = 60 * (self.settings.minutes or 0) - self.validation_seconds
            progress.fraction = min(1.0, progress.seconds / max(limit, 1e-9))
        if now - self.reported > LOG_EVERY or progress.fraction >= 1:
            self.reported = now
            progress.train_loss = self.loss_sum.item() / self.loss_count
            self.watcher.on_progress(progress)

    def validation_due(self) -> bool:
        # Reading costs about a third of training: after five times as many words a validation
        # takes under a tenth of the run.
        return (
            self.progress.fraction - self.validated_at >= VALIDATE_EVERY
            and self.progress.tokens - self.tokens_at >= 5 * len(self.valid_ids)
        )

    def validate(self) -> None:
        progress = self.progress
        began = time.monotonic()
        progress.valid_loss = measure_loss(
            self.network, self.valid_ids, self.device, bptt=self.settings.bptt
        )
        self.validation_seconds = time.monotonic() - began
        self.validating += self.validation_seconds
        self.validated_at, self.tokens_at = progress.fraction, progress.tokens
        progress.train_loss = self.loss_sum.item() / max(1, self.loss_count)
        self.loss_sum.zero_()
        self.loss_count = 0
        best = progress.valid_loss < progress.best_loss
        if best:
            progress.best_loss = progress.valid_loss
            self.best = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.worse_in_a_row = 0 if best else self.worse_in_a_row + 1
        progress.seconds = time.monotonic() - self.started
        self.rows.append(progress.row())
        self.watcher.on_validation(progress, best=best)


def schedule(fraction: float, warmup: float) -> float:
    """The rate's factor at ``fraction`` of the run: a linear rise, then half a cosine down to 0."""
    if fraction < warmup:
        return max(fraction / warmup, 1e-3)
    return 0.5 + 0.5 * math.cos(math.pi * (fraction - warmup) / (1 - warmup))


def make_optimizer(
    network: Network, settings: Settings, device: torch.device
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) or plain SGD over all of the network's weights."""
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    return torch.optim.AdamW(
        network.parameters(),
        lr=settings.learning_rate,
        # 0.99 where the default is 0.999: runs here are thousands of steps, not millions.
        betas=(0.9, 0.99),
        weight_decay=settings.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700))
