"""One run in several processes, on one machine or on many, as ``torchrun`` starts them.

Each process reads its own part of the streams; the gradients are averaged, so that all hold the
same weights at every step. The first process alone writes and speaks, and what hangs on a clock or
a signal is what the first one's clock says, and whether any of them was asked to stop.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from carousel.errors import CarouselError, SettingsError
from carousel.training.run.checkpoint import Checkpoint, Plan, Store

WAIT = timedelta(hours=2)
"""How long one process waits for another, which may be tokenizing a large text."""
LAST_WORD = timedelta(seconds=3)
"""How long a process that fails waits to learn whether the first one fails, too."""
SETTLE = 0.2
"""Seconds in which the threads of a group come to rest."""
FAILED = "carousel/failed"


class Group(Protocol):
    """The processes of a run, as one of them sees them."""

    rank: int
    """This one's number; 0 is the one that writes."""
    size: int
    local_rank: int
    """The number among those on the same machine."""

    def first(self, make: Callable[[], str]) -> str:
        """What the first process makes, for all: they wait meanwhile."""

    def wait(self) -> None:
        """Until all are here."""

    def device(self, device: torch.device) -> torch.device:
        """The process's own among the devices of a kind.

        Raises:
            SettingsError: there are fewer of them in the machine than processes.
        """

    def share(self, count: int) -> slice:
        """The process's part of ``count`` things that are in a row."""

    def agree(self, now: float, asked: bool) -> tuple[float, bool]:
        """The first one's clock, and whether any of them was asked to stop."""

    def average(self, loss: Tensor, parameters: Iterable[Tensor], weight: float) -> Tensor:
        """The mean loss; gradients become their means, too, each process's with its ``weight``."""

    def total(self, parts: Tensor) -> Tensor:
        """The sum over the processes."""

    def whole(self, part: Tensor, count: int) -> Tensor:
        """``[L, count, H]`` of which each process has its share ``[L, b, H]``."""

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """Put the first one's values into all of them."""

    def store(self, inner: Store) -> Store:
        """A store that the first process keeps and all read."""

    def seed(self, seed: int, step: int) -> None:
        """Random numbers of each process's own for this step."""


class Alone:
    """The group of one process."""

    rank, size, local_rank = 0, 1, 0

    def first(self, make: Callable[[], str]) -> str:
        """Nobody else wants it."""
        return ""

    def wait(self) -> None:
        """Nobody else comes."""

    def device(self, device: torch.device) -> torch.device:
        """The one that was chosen."""
        return device

    def share(self, count: int) -> slice:
        """All of it."""
        return slice(0, count)

    def agree(self, now: float, asked: bool) -> tuple[float, bool]:
        """Its own clock and its own signals."""
        return now, asked

    def average(self, loss: Tensor, parameters: Iterable[Tensor], weight: float) -> Tensor:
        """Its own loss and gradients."""
        return loss

    def total(self, parts: Tensor) -> Tensor:
        """Its own sum."""
        return parts

    def whole(self, part: Tensor, count: int) -> Tensor:
        """Its own part."""
        return part

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """Equal to itself."""

    def store(self, inner: Store) -> Store:
        """Its own store."""
        return inner

    def seed(self, seed: int, step: int) -> None:
        """One row of random numbers for the whole run."""


class Processes:
    """A group of several; as a context it is joined and left.

    Raises:
        CarouselError: the process's own error; where the first one fails, it alone speaks.
    """

    def __init__(self, rank: int, size: int, local_rank: int) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank

    def __enter__(self) -> Self:
        # What decides travels between the CPUs, so that nobody waits for a GPU to learn it.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            self.keys, _, _ = next(iter(rendezvous("env://", timeout=WAIT)))
            dist.init_process_group(
                backend, store=self.keys, rank=self.rank, world_size=self.size, timeout=WAIT
            )
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"process {self.rank} of {self.size} can't reach the others: "
                f"{str(error).splitlines()[0]}"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.leave()
        elif self.rank == 0:
            with suppress(RuntimeError):
                self.keys.set(FAILED, "0")
            if isinstance(error, RuntimeError):
                raise CarouselError(
                    "another process of the run has ended: its own output says why"
                ) from error
        elif isinstance(error, CarouselError | RuntimeError) and self.first_failed():
            raise SystemExit(2) from None

    def leave(self) -> None:
        """Part from the others, when all are here."""
        # gloo's threads let go of a tensor after all have returned, and for its last owner that
        # takes the interpreter: they must be done before it ends, or it waits for ever.
        last = torch.zeros(1)
        dist.all_reduce(last)
        time.sleep(SETTLE)
        dist.destroy_process_group()
        gc.collect()
        del last

    def first_failed(self) -> bool:
        """Whether the first process has failed, and so has said why."""
        try:
            self.keys.wait([FAILED], LAST_WORD)
        except (RuntimeError, dist.DistError):
            return False
        return True

    def first(self, make: Callable[[], str]) -> str:
        """See ``Group``."""
        if self.rank == 0:
            self.send(make().encode())
            return ""
        return self.receive().decode()

    def send(self, content: bytes) -> None:
        """Bytes from the first process to all others."""
        dist.broadcast(torch.tensor([len(content)]), 0)
        if content:
            dist.broadcast(torch.frombuffer(bytearray(content), dtype=torch.uint8), 0)

    def receive(self) -> bytes:
        """What the first process sends."""
        length = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(length, 0)
        content = torch.empty(int(length), dtype=torch.uint8)
        if len(content):
            dist.broadcast(content, 0)
        return content.numpy().tobytes()

    def wait(self) -> None:
        """See ``Group``."""
        self.total(torch.zeros(1))

    def device(self, device: torch.device) -> torch.device:
        """See ``Group``."""
        if device.type == "cpu":
            return device
        if device.type != "cuda" or self.local_rank >= torch.cuda.device_count():
            raise SettingsError(
                f"each process wants a GPU of its own, and this machine has "
                f"{torch.cuda.device_count()}: start fewer, or use --device cpu"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def share(self, count: int) -> slice:
        """See ``Group``: the first processes have one more where it does not come out even."""
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def agree(self, now: float, asked: bool) -> tuple[float, bool]:
        """See ``Group``."""
        said = torch.tensor([now if self.rank == 0 else 0.0, asked], dtype=torch.float64)
        dist.all_reduce(said)
        return float(said[0]), bool(said[1] > 0)

    def average(self, loss: Tensor, parameters: Iterable[Tensor], weight: float) -> Tensor:
        """See ``Group``: all in one message."""
        grads: list[Tensor] = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            grads.append(parameter.grad)
        row = torch.cat([loss.reshape(1), *(grad.reshape(-1) for grad in grads)])
        row *= weight
        dist.all_reduce(row)
        parts = torch.split(row, [1, *(grad.numel() for grad in grads)])
        for grad, part in zip(grads, parts[1:], strict=True):
            grad.copy_(part.view_as(grad))
        return row[0]

    def total(self, parts: Tensor) -> Tensor:
        """See ``Group``."""
        dist.all_reduce(parts)
        return parts

    def whole(self, part: Tensor, count: int) -> Tensor:
        """See ``Group``."""
        found = part.new_zeros(part.shape[0], count, part.shape[2])
        found[:, self.share(count)] = part
        return self.total(found)

    def equal(self, tensors: Iterable[Tensor]) -> None:
        """See ``Group``."""
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)

    def store(self, inner: Store) -> Store:
        """See ``Group``."""
        return Shared(self, inner)

    def seed(self, seed: int, step: int) -> None:
        """See ``Group``: they follow from the step, so that a checkpoint need not hold them."""
        torch.manual_seed(hash((seed, step, self.rank)) % 2**63)


class Shared:
    """The first process's store, which it reads for all."""

    def __init__(self, group: Processes, inner: Store) -> None:
        self.group, self.inner = group, inner

    def save(self, checkpoint: Checkpoint) -> None:
        """See ``Store``."""
        if self.group.rank == 0:
            self.inner.save(checkpoint)

    def load(self, plan: Plan) -> Checkpoint | None:
        """See ``Store``."""
        found = self.inner.load(plan) if self.group.rank == 0 else None
        counters = self.group.first(lambda: _to_json(found))
        tensors = self._send_tensors(found.tensors if found else None)
        return found if self.group.rank == 0 else _from_json(counters, tensors)

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """See ``Store``."""
        if self.group.rank == 0:
            self.inner.save_best(weights)

    def load_best(self, plan: Plan) -> dict[str, Tensor] | None:
        """See ``Store``."""
        found = self.inner.load_best(plan) if self.group.rank == 0 else None
        sent = self._send_tensors(found)
        return found if self.group.rank == 0 else sent

    def _send_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        if self.group.rank == 0:
            self.group.send(b"" if tensors is None else save(dict(tensors)))
            return None
        content = self.group.receive()
        return load(content) if content else None


def _to_json(found: Checkpoint | None) -> str:
    return "" if found is None else json.dumps(found.counters)


def _from_json(counters: str, tensors: dict[str, Tensor] | None) -> Checkpoint | None:
    return None if tensors is None else Checkpoint(tensors, json.loads(counters))


@contextmanager
def join() -> Iterator[Group]:
    """The processes that ``torchrun`` has started, of which this is one, or this one alone."""
    if not is_one_of_many():
        yield Alone()
        return
    if not dist.is_available():
        raise SettingsError("this PyTorch was built without torch.distributed: one process only")
    rank, size, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    with Processes(rank, size, local) as group:
        yield group


def is_one_of_many() -> bool:
    """Whether ``torchrun`` has started this process beside others."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return not is_one_of_many() or os.environ["RANK"] == "0"
