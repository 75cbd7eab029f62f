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

    def zeros(self, batch: int) -> tuple[Tensor, Tensor]:
        """The state before anything was read."""
        shape = (self.rnn.num_layers, batch, self.rnn.hidden_size)
        return torch.zeros(shape), torch.zeros(shape)


def rows(ids: np.ndarray, batch: int) -> Tensor:
    """The text as ``batch`` streams side by side: ``[N, B]``."""
    length = len(ids) // batch
    streams = torch.from_numpy(ids[: length * batch].astype(np.int64))
    return streams.view(batch, length).t().contiguous()


class PlainTraining:
    """Truncated BPTT over the streams, clipped gradients, warm-up and half a cosine."""

    def __init__(self, ids: np.ndarray, vocab_size: int, setting: dict[str, Any]) -> None:
        torch.manual_seed(0)
        self.setting = setting
        self.batch, self.bptt = int(setting["batch"]), int(setting["bptt"])
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
        self.text = rows(ids, self.batch)

    def steps(self, epochs: float) -> Iterator[int]:
        """Train; yields the words that each step read."""
        each = math.ceil((len(self.text) - 1) / self.bptt)
        last = math.ceil(epochs * each)
        warmup = self.setting["warmup"]
        for step in range(last):
            at = step % each
            if at == 0:
                state = self.model.zeros(self.batch)
            x = self.text[at * self.bptt : (at + 1) * self.bptt]
            y = self.text[at * self.bptt + 1 : (at + 1) * self.bptt + 1]
            x = x[: len(y)]
            done = step / last
            rate = (
                max(done / warmup, 1e-3)
                if done < warmup
                else 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1 - warmup))
            )
            for group in self.optimizer.param_groups:
                group["lr"] = rate * self.setting["learning_rate"]
            logits, state = self.model(x, tuple(part.detach() for part in state))
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.setting["clip"])
            self.optimizer.step()
            yield y.numel()

    @torch.no_grad()
    def measure(self, ids: np.ndarray) -> float:
        """Mean loss in nats per word of a text, in streams from a zero state."""
        self.model.eval()
        text = rows(ids, 32)
        state: tuple[Tensor, ...] = self.model.zeros(32)
        total = 0.0
        for at in range(0, len(text) - 1, self.bptt):
            y = text[at + 1 : at + 1 + self.bptt]
            logits, state = self.model(text[at : at + len(y)], state)
            total += F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum").item()
        self.model.train()
        return total / (text[1:].numel())


def timed(training: PlainTraining, seconds: float, warm: int) -> float:
    """Words a second, after ``warm`` steps that are not counted."""
    words, began = 0, 0.0
    for step, read in enumerate(training.steps(1e9)):
        if step >= warm:
            words += read
        else:
            began = time.perf_counter()
        if step > warm and time.perf_counter() - began > seconds:
            break
    return words / (time.perf_counter() - began)
