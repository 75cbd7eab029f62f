"""One run in several processes, on one machine or on many, as ``torchrun`` starts them.

Each process reads its own part of the streams, and PyTorch's DistributedDataParallel averages the
gradients, so that all processes have the same weights at every step. Only process 0 writes files
and shows progress. Its clock counts for all, and a signal to any of them stops all.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import TracebackType
from typing import Self

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from carousel.cells import State
from carousel.errors import CarouselError, SettingsError
from carousel.training.nn.network import Network
from carousel.training.run.checkpoint import Checkpoint, CheckpointSpec, CheckpointStore

TIMEOUT = timedelta(hours=2)
"""How long a process waits for another one, which may be tokenizing a large text."""
FAILURE_TIMEOUT = timedelta(seconds=3)
"""How long a process that fails waits to learn whether process 0 has failed, too."""
SETTLE_SECONDS = 0.2
"""How long the threads of a group take to finish."""
FAILED_KEY = "carousel/failed"

LossFunction = Callable[[Tensor, Tensor, State], tuple[Tensor, State]]
"""As ``Network.loss``: inputs, targets and a state to the loss and the next state."""


class SingleProcess:
    """A run in one process: the operations of ``ProcessGroup``, with nobody to talk to."""

    rank, world_size, local_rank = 0, 1, 0

    def broadcast_text(self, text: str | None) -> str:
        """The text itself."""
        return text or ""

    def barrier(self) -> None:
        """Nobody to wait for."""

    def choose_device(self, device: torch.device) -> torch.device:
        """The device itself."""
        return device

    def shard(self, count: int) -> slice:
        """All of ``count`` things."""
        return slice(0, count)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The tensor itself."""
        return tensor

    def all_gather(self, part: Tensor, count: int) -> Tensor:
        """The tensor itself."""
        return part

    def data_parallel(self, network: Network) -> LossFunction:
        """The network's own loss."""
        return network.loss

    def share_store(self, store: CheckpointStore) -> CheckpointStore:
        """The store itself."""
        return store

    def manual_seed(self, seed: int, step: int) -> None:
        """Nothing: one sequence of random numbers serves the whole run."""


class ProcessGroup:
    """The processes of a run, as one of them sees them. As a context, it is joined and left.

    Args:
        rank: the number of this process; 0 is the one that writes.
        world_size: how many there are.
        local_rank: the number of this process among those on the same machine.

    Raises:
        SettingsError: the other processes can't be reached.
        CarouselError: the error of this process. If process 0 fails, it alone prints its error.
    """

    def __init__(self, rank: int, world_size: int, local_rank: int) -> None:
        self.rank, self.world_size, self.local_rank = rank, world_size, local_rank

    def __enter__(self) -> Self:
        # Small messages between CPUs go over gloo, so that nobody waits for a GPU to read them.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            self.key_store, _, _ = next(iter(rendezvous("env://", timeout=TIMEOUT)))
            dist.init_process_group(
                backend,
                store=self.key_store,
                rank=self.rank,
                world_size=self.world_size,
                timeout=TIMEOUT,
            )
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"process {self.rank} of {self.world_size} can't reach the others: "
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
            self._destroy()
        elif self.rank == 0:
            with suppress(RuntimeError):
                self.key_store.set(FAILED_KEY, "0")
            if isinstance(error, RuntimeError) and not isinstance(error, CarouselError):
                raise CarouselError(
                    "another process of the run has ended: its own output says why"
                ) from error
        elif isinstance(error, CarouselError | RuntimeError) and self._has_rank_0_failed():
            raise SystemExit(2) from None

    def _destroy(self) -> None:
        """Leave the group, when all processes are here."""
        # gloo's threads let go of a tensor after all_reduce has returned. If they are its last
        # owners they need the interpreter for that, and would wait for ever once it has ended.
        last_tensor = torch.zeros(1)
        dist.all_reduce(last_tensor)
        time.sleep(SETTLE_SECONDS)
        dist.destroy_process_group()
        gc.collect()
        del last_tensor

    def _has_rank_0_failed(self) -> bool:
        """Whether process 0 has failed, and so has printed why."""
        try:
            self.key_store.wait([FAILED_KEY], FAILURE_TIMEOUT)
        except (RuntimeError, dist.DistError):
            return False
        return True

    def broadcast_text(self, text: str | None) -> str:
        """The text that process 0 gives, for all. The others give None, and wait for it."""
        return self.broadcast_bytes(None if text is None else text.encode()).decode()

    def broadcast_bytes(self, content: bytes | None) -> bytes:
        """The bytes that process 0 gives, for all. The others give None, and wait for them."""
        length = torch.tensor([len(content or b"")])
        dist.broadcast(length, 0)
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if content:
            buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        if len(buffer):
            dist.broadcast(buffer, 0)
        return buffer.numpy().tobytes()

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.all_reduce(torch.zeros(1))

    def choose_device(self, device: torch.device) -> torch.device:
        """The process's own device: the CPU, or one of the machine's GPUs.

        Raises:
            SettingsError: the machine has fewer GPUs than processes.
        """
        if device.type == "cpu":
            return device
        if device.type != "cuda" or self.local_rank >= torch.cuda.device_count():
            raise SettingsError(
                f"each process needs a GPU of its own, and this machine has "
                f"{torch.cuda.device_count()}: start fewer, or use --device cpu"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def shard(self, count: int) -> slice:
        """The process's part of ``count`` things in a row; the first processes may have one more.

        >>> ProcessGroup(rank=0, world_size=2, local_rank=0).shard(5)
        slice(0, 3, None)
        """
        each, more = divmod(count, self.world_size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, written into it."""
        dist.all_reduce(tensor)
        return tensor

    def all_gather(self, part: Tensor, count: int) -> Tensor:
        """A whole ``[L, count, H]`` of which each process has its shard ``[L, b, H]``."""
        # A sum, since dist.all_gather wants shards of one size.
        whole = part.new_zeros(part.shape[0], count, part.shape[2])
        whole[:, self.shard(count)] = part
        return self.all_reduce(whole)

    def data_parallel(self, network: Network) -> LossFunction:
        """The network's loss as a function whose gradients are averaged over the processes.

        The weights of process 0 become those of all.
        """
        # Measured against one all_reduce of all gradients in a row, two processes over gloo on a
        # busy machine of two cores, medians of eight turns: 0.93 of a step's time for an LSTM 2x200
        # with an adaptive softmax over 33,278 words (batch 64x64; 0.90 at 20x35), 0.91 with a full
        # one over 10,000, 0.78 for 2x650 untied, 1.07 for a character model of 512 units.
        loss_function: LossFunction = DistributedDataParallel(_LossModule(network))
        # After its first backward pass DistributedDataParallel puts the gradients into buckets
        # anew, and of three processes or more the order of a sum hangs on the bucket. With one pass
        # over a single word now, all steps of all runs have the same buckets, so that a resumed
        # run ends with the same bits.
        word = torch.zeros(1, 1, dtype=torch.long, device=network.embedding.weight.device)
        loss, _ = loss_function(word, word, network.initial_state(1))
        loss.backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)
        return loss_function

    def share_store(self, store: CheckpointStore) -> CheckpointStore:
        """A store of which process 0 keeps the checkpoints, and from which all load."""
        return SharedStore(self, store)

    def manual_seed(self, seed: int, step: int) -> None:
        """Seed this process's random numbers for a step, so that a checkpoint needs none."""
        torch.manual_seed(hash((seed, step, self.rank)) % 2**63)


Processes = SingleProcess | ProcessGroup
"""The processes of a run: this one alone, or a group."""


class _LossModule(nn.Module):
    """``Network.loss`` as a module's forward, which is what DistributedDataParallel wraps."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        return self.network.loss(ids, targets, state)


class SharedStore:
    """The store of process 0, from which it reads for all.

    Args:
        group: the processes.
        store: the store that process 0 uses.
    """

    def __init__(self, group: ProcessGroup, store: CheckpointStore) -> None:
        self.group, self.store = group, store

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, in process 0."""
        if self.group.rank == 0:
            self.store.save(checkpoint)

    def load(self, spec: CheckpointSpec) -> Checkpoint | None:
        """The last good checkpoint of process 0, for all; None if there is none."""
        checkpoint = self.store.load(spec) if self.group.rank == 0 else None
        counters = self.group.broadcast_text(
            json.dumps(checkpoint.counters) if checkpoint else None
        )
        tensors = self._broadcast_tensors(checkpoint.tensors if checkpoint else None)
        if self.group.rank == 0:
            return checkpoint
        return None if tensors is None else Checkpoint(tensors, json.loads(counters))

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the best weights, in process 0."""
        if self.group.rank == 0:
            self.store.save_best(weights)

    def load_best(self, spec: CheckpointSpec) -> dict[str, Tensor] | None:
        """The best weights of process 0, for all; None if there are none."""
        weights = self.store.load_best(spec) if self.group.rank == 0 else None
        received = self._broadcast_tensors(weights)
        return weights if self.group.rank == 0 else received

    def _broadcast_tensors(self, tensors: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        content = self.group.broadcast_bytes(save(dict(tensors)) if tensors is not None else None)
        return load(content) if content and self.group.rank else None


@contextmanager
def init_process_group() -> Iterator[Processes]:
    """The processes that ``torchrun`` has started, of which this is one, or this one alone.

    Raises:
        SettingsError: this PyTorch can't do it, or the others can't be reached.
    """
    if not is_distributed():
        yield SingleProcess()
        return
    if not dist.is_available():
        raise SettingsError("this PyTorch was built without torch.distributed: one process only")
    rank, size, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    with ProcessGroup(rank, size, local) as group:
        yield group


def is_distributed() -> bool:
    """Whether ``torchrun`` has started this process together with others."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_main_process() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return not is_distributed() or os.environ["RANK"] == "0"
