"""The state of a run: all that its steps change, and all that its checkpoints hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from carousel.cells import State
from carousel.training.nn.network import Network
from carousel.training.run.averaging import WeightAverage
from carousel.training.run.checkpoint import (
    Checkpoint,
    CheckpointSpec,
    check_counters,
    tensor_specs,
)
from carousel.training.run.distributed import Processes
from carousel.training.run.optimizer import OPTIMIZER_STATE
from carousel.training.run.progress import MetricsRow, Progress

COUNTERS = {
    "loss_count": "loss_count",
    "validations_without_improvement": "worse_in_a_row",
    "validated_fraction": "validated_at",
    "validated_tokens": "tokens_at",
    "validation_seconds": "validation_seconds",
    "total_validation_seconds": "validating",
    "learning_rate_scale": "rate",
    "rollbacks": "retreats",
}
"""The fields of ``TrainingState`` that a checkpoint holds as numbers, and their names there."""


@dataclass
class TrainingState:
    """Where a run stands. One process of several has its own streams' part of it."""

    network: Network
    optimizer: torch.optim.Optimizer
    optimizer_name: str
    recurrent: State
    """The state after the last batch, ``[L, B, H]`` each, of the streams of this process."""
    loss_sum: Tensor
    """Sum of the losses since the last validation, a scalar on the device."""
    recent_loss_sum: Tensor
    """Sum of the losses since the last check for divergence, a scalar on the device."""
    average: WeightAverage | None = None
    """The averaged weights, where the settings ask for an average."""
    progress: Progress = field(default_factory=Progress)
    rows: list[MetricsRow] = field(default_factory=list)
    """One for each validation."""
    loss_count: int = 0
    """Number of losses in ``loss_sum``."""
    validations_without_improvement: int = 0
    validated_fraction: float = 0.0
    """``progress.fraction`` at the last validation."""
    validated_tokens: int = 0
    """``progress.tokens`` at the last validation."""
    validation_seconds: float = 0.0
    """How long the last validation took."""
    total_validation_seconds: float = 0.0
    learning_rate_scale: float = 1.0
    """A factor on the learning rate, halved at each rollback."""
    rollbacks: int = 0
    """How often the run has diverged and gone back to a checkpoint."""

    @property
    def device(self) -> torch.device:
        """Where the run computes."""
        return self.loss_sum.device

    def weights(self) -> dict[str, Tensor]:
        """Every parameter by its name in the network; a tied one is there once."""
        return dict(self.network.named_parameters())

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy values into the parameters, in place."""
        for name, weight in self.weights().items():
            weight.copy_(weights[name])

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """A context in which the network has its averaged weights, if there is an average."""
        if self.average is None or not self.average.triggered:
            yield
            return
        trained = {name: weight.detach().clone() for name, weight in self.weights().items()}
        self.load_weights(self.average.weights)
        try:
            yield
        finally:
            self.load_weights(trained)

    def to_checkpoint(self, group: Processes, batch_size: int) -> Checkpoint:
        """The state as a checkpoint, whose tensors are those of the run.

        Args:
            group: the processes of the run.
            batch_size: the number of streams of all processes together. The checkpoint holds the
                recurrent state of all, so that any number of processes can resume the run.
        """
        tensors = self._scalars()
        tensors |= self._weights()
        whole = [group.all_gather(part, batch_size) for part in self.recurrent]
        tensors |= {f"state.{i}": part for i, part in enumerate(whole)}
        for number, parts in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": part for name, part in parts.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return Checkpoint(tensors, self._counters() | {"rows": list(self.rows)})

    def checkpoint_spec(self, batch_size: int) -> CheckpointSpec:
        """What a checkpoint of this run must hold; ``batch_size`` as in ``to_checkpoint``."""
        tensors = self._scalars() | {"random.cpu": torch.get_rng_state()}
        tensors |= self._weights()
        whole = self.network.initial_state(batch_size)
        tensors |= {f"state.{i}": part for i, part in enumerate(whole)}
        optional = {
            f"optimizer.{number}.{name}": self.loss_sum if name == "step" else weight
            for number, weight in self._numbered_weights()
            for name in OPTIMIZER_STATE[self.optimizer_name]
        }
        if self.device.type == "cuda":
            optional["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return CheckpointSpec(tensor_specs(tensors), tensor_specs(optional), self._check)

    def load_checkpoint(self, checkpoint: Checkpoint, shard: slice) -> None:
        """Go to the moment of a checkpoint, which has been checked.

        Args:
            checkpoint: one that fits ``checkpoint_spec``.
            shard: which of all streams are read by this process.
        """
        tensors, counters = checkpoint.tensors, checkpoint.counters
        self.load_weights({name: tensors[f"weights.{name}"] for name in self.weights()})
        if self.average is not None:
            for name, weight in self.average.weights.items():
                weight.copy_(tensors[f"average.{name}"])
            self.average.steps = counters["average_steps"]
            self.average.triggered = counters["average_triggered"]
        self.recurrent = type(self.recurrent)(
            *(
                tensors[f"state.{i}"][:, shard].contiguous().to(self.device)
                for i in range(len(self.recurrent))
            )
        )
        device = self.device
        self.loss_sum = tensors["loss_sum"].to(device, copy=True)
        self.recent_loss_sum = tensors["recent"].to(device, copy=True)
        optimizer_state: dict[int, dict[str, Tensor]] = {}
        for number, _ in self._numbered_weights():
            for name in OPTIMIZER_STATE[self.optimizer_name]:
                if (part := tensors.get(f"optimizer.{number}.{name}")) is not None:
                    optimizer_state.setdefault(number, {})[name] = part.clone()
        param_groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer_state, "param_groups": param_groups})
        torch.set_rng_state(tensors["random.cpu"])
        if device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], device)
        for progress_field in fields(Progress):
            setattr(self.progress, progress_field.name, counters[progress_field.name])
        for name, stored_name in COUNTERS.items():
            setattr(self, name, counters[stored_name])
        self.rows = list(counters["rows"])

    def _weights(self) -> dict[str, Tensor]:
        tensors = {f"weights.{name}": weight for name, weight in self.weights().items()}
        if self.average is not None:
            averaged = self.average.weights.items()
            tensors |= {f"average.{name}": weight for name, weight in averaged}
        return tensors

    def _scalars(self) -> dict[str, Tensor]:
        return {"loss_sum": self.loss_sum, "recent": self.recent_loss_sum}

    def _counters(self) -> dict[str, Any]:
        own = {stored_name: getattr(self, name) for name, stored_name in COUNTERS.items()}
        if self.average is not None:
            own["average_steps"] = self.average.steps
            own["average_triggered"] = self.average.triggered
        return asdict(self.progress) | own

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raise FolderError where a checkpoint's values can't be."""
        like = self._counters() | asdict(Progress())
        optimizer_state = [
            [f"optimizer.{number}.{name}" for name in OPTIMIZER_STATE[self.optimizer_name]]
            for number, _ in self._numbered_weights()
        ]
        check_counters(checkpoint, like, optimizer_state)

    def _numbered_weights(self) -> Iterator[tuple[int, Tensor]]:
        """The parameters with their numbers in the optimizer's state."""
        groups = self.optimizer.param_groups
        return enumerate(weight for group in groups for weight in group["params"])
