"""The recipe that Carousel is measured against: PyTorch as its tutorials have it.

``nn.Embedding``, ``nn.LSTM``, ``nn.Linear``, ``F.cross_entropy``, autograd, float32; the decoder
tied to the embedding, dropout where PyTorch's word-language-model example has it, and the
optimizer, the rate and the batches of the run it is compared with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainModel(nn.Module):
    """Embedding, LSTM, linear decoder, tied."""

    def __init__(self, vocab_size: int, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, size)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        self.rnn = nn.LSTM(size, size, layers, dropout=dropout if layers > 1 else 0.0)
        self.decoder = nn.Linear(size, vocab_size)
        self.decoder.weight = self.encoder.weight
        nn.init.zeros_(self.decoder.bias)

    def forward(
        self, ids: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``ids [T, B]`` to logits ``[T, B, V]``, and the state after."""
        out, state = self.rnn(self.drop(self.encoder(ids)), state)
        return self.decoder(self.drop(out)), state

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The state before anything was read."""
        shape = (self.rnn.num_layers, batch_size, self.rnn.hidden_size)
        return torch.zeros(shape), torch.zeros(shape)


def to_streams(ids: np.ndarray, batch_size: int) -> Tensor:
    """The text as ``batch_size`` streams side by side: ``[N, B]``."""
    length = len(ids) // batch_size
    streams = torch.from_numpy(ids[: length * batch_size].astype(np.int64))
    return streams.view(batch_size, length).t().contiguous()


class PlainTraining:
    """Truncated BPTT over the streams, clipped gradients, warm-up and half a cosine."""

    def __init__(self, ids: np.ndarray, vocab_size: int, setting: dict[str, Any]) -> None:
        torch.manual_seed(0)
        self.setting = setting
        self.batch_size, self.bptt = int(setting["batch_size"]), int(setting["bptt"])
        self.model = PlainModel(
            vocab_size,
            int(setting["hidden_size"]),
            int(setting["layers"]),
            setting["dropout"],
        )
        self.optimizer: torch.optim.Optimizer
        if setting["optimizer"] == "sgd":
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        else:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=1.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True
            )
        self.text = to_streams(ids, self.batch_size)

    def steps(self, epochs: float) -> Iterator[int]:
        """Train; yields the words that each step read."""
        steps_per_epoch = math.ceil((len(self.text) - 1) / self.bptt)
        last_step = math.ceil(epochs * steps_per_epoch)
        warmup = self.setting["warmup"]
        for step in range(last_step):
            number = step % steps_per_epoch
            if number == 0:
                state = self.model.initial_state(self.batch_size)
            x = self.text[number * self.bptt : (number + 1) * self.bptt]
            y = self.text[number * self.bptt + 1 : (number + 1) * self.bptt + 1]
            x = x[: len(y)]
            fraction = step / last_step
            rate = (
                max(fraction / warmup, 1e-3)
                if fraction < warmup
                else 0.5 + 0.5 * math.cos(math.pi * (fraction - warmup) / (1 - warmup))
            )
            for group in self.optimizer.param_groups:
                group["lr"] = rate * self.setting["learning_rate"]
            logits, state = self.model(x, tuple(part.detach() for part in state))
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.setting["grad_clip"])
            self.optimizer.step()
            yield y.numel()

    @torch.no_grad()
    def measure(self, ids: np.ndarray) -> float:
        """Mean loss in nats per word of a text, in streams from a zero state."""
        self.model.eval()
        text = to_streams(ids, 32)
        state: tuple[Tensor, ...] = self.model.initial_state(32)
        total = 0.0
        for start in range(0, len(text) - 1, self.bptt):
            y = text[start + 1 : start + 1 + self.bptt]
            logits, state = self.model(text[start : start + len(y)], state)
            total += F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").item()
        self.model.train()
        return total / (text[1:].numel())


def measure_speed(training: PlainTraining, seconds: float, warm: int) -> float:
    """Words a second, after ``warm`` steps that are not counted."""
    words, begin = 0, 0.0
    for step, read in enumerate(training.steps(1e9)):
        if step >= warm:
            words += read
        else:
            begin = time.perf_counter()
        if step > warm and time.perf_counter() - begin > seconds:
            break
    return words / (time.perf_counter() - begin)
