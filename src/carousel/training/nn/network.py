"""The language model as a PyTorch module: embedding, recurrent layers, projection, decoder."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from carousel.cells import CELLS, LSTM, HiddenState, LSTMState, State, Weights, weight_shapes
from carousel.storage.config import Config
from carousel.training.nn.dropout import Dropout
from carousel.training.nn.output_layer import AdaptiveDecoder, FullDecoder
from carousel.unroll import initial_state, unroll

FUSED: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""The cells for which PyTorch has a fused layer that computes the same."""

SPARSE_FROM = 4096
"""Words from which on an embedding's gradient is worth handing on as rows."""


class ReferenceLayer(nn.Module):
    """One layer of any cell in the lines of ``cells.py``, for cells that have no fused layer."""

    def __init__(self, cell: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        for name, shape in weight_shapes(self.cell, input_size, hidden_size).items():
            bound = hidden_size**-0.5  # as PyTorch's own recurrent layers start
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """``x [T, B, E]`` and a state of ``[1, B, H]`` to ``[T, B, H]`` and the state after."""
        return unroll(self.cell, [Weights(**dict(self.named_parameters()))], x, state)


class FusedLayer(nn.Module):
    """One layer by PyTorch's fused kernel, with the same face as ``ReferenceLayer``."""

    def __init__(self, cell: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.fused = FUSED[cell](input_size, hidden_size)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """``x [T, B, E]`` and a state of ``[1, B, H]`` to ``[T, B, H]`` and the state after."""
        if x.is_cuda and torch.is_autocast_enabled("cuda"):
            # Autocast would have cuDNN compute in float16, whatever it was asked for, and in that
            # most gradients of a mean over thousands of words are too small to be told from 0.
            with torch.autocast("cuda", enabled=False):
                return self.forward(x.float(), state)
        given = tuple(part.to(x.dtype) for part in state)
        if isinstance(state, LSTMState):
            y, after = self.fused(x, given)
            return y, LSTMState(*after)
        y, h = self.fused(x, given[0])
        return y, HiddenState(h)


class Network(nn.Module):
    """A recurrent language model in training; ``export`` gives the weights of a model folder.

    ``embedding_std`` is the standard deviation of the embedding's start; ``fused=False`` trains
    with the reference lines even where PyTorch has a fused layer; ``sampled`` trains on an estimate
    of the softmax.
    """

    def __init__(
        self,
        config: Config,
        dropout: float = 0.0,
        *,
        embedding_std: float = 1.0,
        fused: bool = True,
        sampled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.precision = "float32"
        """Of the large products under ``autocast``: float32 or bfloat16."""
        self.cell = CELLS[config.cell]
        # Only the words of a batch have a gradient; where the decoder has the same weights, theirs
        # is dense, and these few rows are added to it.
        sparse = config.tied and config.vocab_size >= SPARSE_FROM
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, sparse=sparse)
        with torch.no_grad():
            self.embedding.weight.mul_(embedding_std)
        layer = FusedLayer if fused and config.cell in FUSED else ReferenceLayer
        sizes = [config.embedding_size] + [config.hidden_size] * (config.layers - 1)
        self.layers = nn.ModuleList(layer(config.cell, size, config.hidden_size) for size in sizes)
        width = config.projection_size or config.hidden_size
        self.projection = (
            nn.Linear(config.hidden_size, width, bias=False) if config.projection_size else None
        )
        tied = cast("nn.Parameter", self.embedding.weight) if config.tied else None
        self.decoder = (
            AdaptiveDecoder(width, config.vocab_size, config.cutoffs, config.tail_sizes, tied)
            if config.cutoffs
            else FullDecoder(width, config.vocab_size, tied, sampled=sampled)
        )
        self.dropout = Dropout(dropout)
        for name, weight in self.recurrent_weights().items():
            if name.endswith("bias_ih") and isinstance(self.cell, LSTM) and not self.cell.coupled:
                # A forget gate that starts open lets the memory live long enough to be learned
                # (Jozefowicz et al. 2015, section 2.2): the two biases add up to 1.
                hidden = config.hidden_size
                with torch.no_grad():
                    weight[hidden : 2 * hidden] = 1.0
                    self.recurrent_weights()[name.replace("_ih", "_hh")][hidden : 2 * hidden] = 0

    def initial_state(self, batch: int) -> State:
        """Zeros, ``[L, B, H]`` each."""
        config = self.config
        like = self.embedding.weight
        return initial_state(self.cell, config.layers, batch, config.hidden_size, like)

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """``ids [T, B]`` to what the decoder reads, ``[T, B, P or H]``, and the state after."""
        # Rows are for a CPU: a GPU adds whole matrices in microseconds.
        sparse = self.embedding.sparse and ids.is_cpu
        x = self.dropout(F.embedding(ids, self.embedding.weight, sparse=sparse))
        after: list[State] = []
        for number, layer in enumerate(self.layers):
            x, layer_state = layer(x, type(state)(*(part[number : number + 1] for part in state)))
            x = self.dropout(x)
            after.append(layer_state)
        if self.projection is not None:
            x = self.projection(x)
        return x, type(state)(*(torch.cat(parts).float() for parts in zip(*after, strict=True)))

    def loss(self, ids: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Mean cross-entropy in nats of ``targets [T, B]`` after ``ids [T, B]``, and the state."""
        hidden, state = self(ids, state)
        if hidden.is_cuda and self.precision == "bfloat16":
            hidden = hidden.bfloat16()  # the layers gave float32
        return self.decoder.loss(hidden.flatten(0, 1), targets.flatten()), state

    def recurrent_weights(self) -> dict[str, Tensor]:
        """The layers' parameters by the names of a model folder (``layers.0.weight_ih``, ...)."""
        named = cast("dict[str, Tensor]", dict(self.layers.named_parameters()))
        return {
            "layers." + name.replace("fused.", "").removesuffix("_l0"): weight
            for name, weight in named.items()
        }

    def named_weights(self) -> dict[str, Tensor]:
        """Every weight that a model folder holds, by its name there."""
        weights = {"embedding.weight": self.embedding.weight, **self.recurrent_weights()}
        if self.projection is not None:
            weights["projection.weight"] = self.projection.weight
        weights |= self.decoder.named_weights()
        if self.config.tied:
            weights.pop("decoder.weight", None)
        return weights

    def export(self) -> dict[str, np.ndarray]:
        """Copies of the weights as float32 NumPy arrays, by the names of a model folder."""
        return {
            name: weight.detach().float().cpu().numpy().copy()
            for name, weight in self.named_weights().items()
        }
