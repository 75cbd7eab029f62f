"""The language model as a PyTorch module: embedding, recurrent layers, projection, decoder.

The names of its parameters are those of checkpoints on disk; ``export`` gives the names of a model
folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from carousel.cells import CELLS, LSTM, HiddenState, LSTMState, State, Weights, weight_shapes
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder
from carousel.storage.number_formats import StoredWeight, to_float32
from carousel.training.nn.activation_regularization import activation_penalty
from carousel.training.nn.dropout import Dropout
from carousel.training.nn.embedding_dropout import EmbeddingDropout
from carousel.training.nn.float16 import WORD_GRADIENT, contiguous, enter_float16, leave_float16
from carousel.training.nn.lines import find_line_ends, read_lines
from carousel.training.nn.locked_dropout import LockedDropout
from carousel.training.nn.output_layer import AdaptiveSoftmax, FullSoftmax, SampledSoftmax
from carousel.training.nn.regularization import Regularization
from carousel.training.nn.weight_drop import WeightDrop
from carousel.unroll import initial_state, unroll

FUSED: dict[str, Any] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""The cells for which PyTorch has a fused layer that computes the same."""
FUNCTIONS: dict[str, Any] = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}
"""The functions that these layers call."""
SPARSE_MIN_VOCAB = 4096
"""The vocabulary size from which on a sparse gradient of the embedding is faster on a CPU."""


class ReferenceLayer(nn.Module):
    """One layer of any cell, computed by ``cells.py``, for cells that have no fused layer.

    Args:
        cell: a name in ``cells.CELLS``.
        input_size: E, or H for a layer above the first.
        hidden_size: H.
        weight_drop: the probability of dropout on the recurrent weights.
    """

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.weight_drop = WeightDrop(weight_drop)
        for name, shape in weight_shapes(self.cell, input_size, hidden_size).items():
            bound = hidden_size**-0.5  # as PyTorch's own recurrent layers start
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """``x [T, B, E]`` and a state ``[1, B, H]`` to ``[T, B, H]`` and the state afterwards."""
        weights = dict(self.named_parameters())
        weights["weight_hh"] = self.weight_drop(weights["weight_hh"])
        return unroll(self.cell, [Weights(**weights)], x, state)


class FusedLayer(nn.Module):
    """One layer computed by PyTorch's fused kernel, with the interface of ``ReferenceLayer``.

    Args:
        cell: a name in ``FUSED``.
        input_size: E, or H for a layer above the first.
        hidden_size: H.
        weight_drop: the probability of dropout on the recurrent weights.
    """

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, weight_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.fused = FUSED[cell](input_size, hidden_size)
        self.function = FUNCTIONS[cell]
        self.weight_drop = WeightDrop(weight_drop)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """``x [T, B, E]`` and a state ``[1, B, H]`` to ``[T, B, H]`` and the state afterwards.

        Inside ``autocast`` on CUDA, cuDNN computes in float16; the results are float32.
        """
        weight_ih, weight_hh, *biases = self.fused._flat_weights
        weights = [weight_ih, self.weight_drop(weight_hh), *biases]
        if x.is_cuda and torch.is_autocast_enabled("cuda"):
            with torch.autocast("cuda", enabled=False):
                scale = WORD_GRADIENT * x.shape[0] * x.shape[1]
                half = [enter_float16(part, scale) for part in (x, *state)]
                weights = [enter_float16(weight, scale) for weight in weights]
                outputs = self._call(*half, weights=weights)
                y, *after = (leave_float16(part, scale) for part in outputs)
        else:
            y, *after = self._call(x, *(part.to(x.dtype) for part in state), weights=weights)
        return y, LSTMState(*after) if isinstance(state, LSTMState) else HiddenState(*after)

    def _call(self, x: Tensor, *state: Tensor, weights: list[Tensor]) -> Sequence[Tensor]:
        """The outputs and the parts of the state afterwards.

        The module itself can't be given other weights than its own: the function under it can.
        """
        if x.is_cuda and weights[1] is not self.fused._flat_weights[1]:
            weights = contiguous(weights)
        given = state if len(state) > 1 else state[0]
        # With biases; one layer; no dropout; whether in training; one direction; T before B.
        outputs = self.function(x, given, weights, True, 1, 0.0, self.training, False, False)
        return cast("Sequence[Tensor]", outputs)


class Network(nn.Module):
    """A recurrent language model in training.

    Args:
        config: the shape of the model.
        regularization: dropout of all kinds and penalties; none by default.
        embedding_std: standard deviation of the embedding's initial values.
        fused: use PyTorch's fused layers where there are some. False always uses ``cells.py``.
        sampled: train a full softmax on an estimate of its loss.

    >>> config = Config("lstm", vocab_size=9, embedding_size=4, hidden_size=6, layers=1, tied=False)
    >>> network = Network(config)
    >>> ids = torch.zeros(3, 2, dtype=torch.long)  # T = 3, B = 2
    >>> hidden, state = network(ids, network.initial_state(2))
    >>> tuple(hidden.shape), tuple(state.c.shape)
    ((3, 2, 6), (1, 2, 6))
    """

    def __init__(
        self,
        config: Config,
        regularization: Regularization | None = None,
        *,
        embedding_std: float = 1.0,
        fused: bool = True,
        sampled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.regularization = kept = regularization or Regularization()
        self.precision = "float32"
        """Number format of the large products inside ``autocast``: float32 or bfloat16."""
        self.cell = CELLS[config.cell]
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        with torch.no_grad():
            self.embedding.weight.mul_(embedding_std)
        layer = FusedLayer if fused and config.cell in FUSED else ReferenceLayer
        sizes = [config.embedding_size] + [config.hidden_size] * (config.layers - 1)
        self.layers = nn.ModuleList(
            layer(config.cell, size, config.hidden_size, kept.weight_drop) for size in sizes
        )
        width = config.projection_size or config.hidden_size
        self.projection = (
            nn.Linear(config.hidden_size, width, bias=False) if config.projection_size else None
        )
        tied = cast("nn.Parameter", self.embedding.weight) if config.tied else None
        self.decoder: AdaptiveSoftmax | FullSoftmax
        if config.cutoffs:
            self.decoder = AdaptiveSoftmax(
                width, config.vocab_size, config.cutoffs, config.tail_sizes, tied
            )
        else:
            softmax = SampledSoftmax if sampled else FullSoftmax
            self.decoder = softmax(width, config.vocab_size, tied)
        dropout = LockedDropout if kept.locked_dropout else Dropout
        self.embedding_dropout = EmbeddingDropout(config.vocab_size, kept.embedding_dropout)
        self.input_dropout = dropout(kept.input_p)
        self.hidden_dropout = dropout(kept.hidden_p)
        self.output_dropout = dropout(kept.output_p)
        if isinstance(self.cell, LSTM) and not self.cell.coupled:
            self._open_forget_gates()

    def _open_forget_gates(self) -> None:
        """Start the forget gates' biases at 1: the two biases of a gate are added.

        A forget gate that starts open lets the memory live long enough to be learned (Jozefowicz
        et al. 2015, section 2.2).
        """
        forget = slice(self.config.hidden_size, 2 * self.config.hidden_size)
        with torch.no_grad():
            for name, weight in self.recurrent_weights().items():
                if name.endswith(("bias_ih", "bias_hh")):
                    weight[forget] = float(name.endswith("bias_ih"))

    @classmethod
    def from_model(
        cls,
        config: Config,
        weights: Mapping[str, StoredWeight],
        regularization: Regularization | None = None,
        *,
        sampled: bool = False,
    ) -> Self:
        """A network with the weights of a model, to fine-tune it.

        Weights in int8 or bfloat16 become float32, exactly. A model without recurrent biases
        (``config.biases`` is False) gets biases of 0, which change nothing until they are trained.

        Args:
            config: the model's configuration.
            weights: the model's weights by their names in a model folder; others are not read.
            regularization: dropout of all kinds and penalties; none by default.
            sampled: train a full softmax on an estimate of its loss.

        Returns:
            A network in training mode. The ``dtype`` of its configuration is float32.
        """
        float_config = replace(config, dtype="float32", biases=True)
        network = cls(float_config, regularization, sampled=sampled)
        present = config.weight_shapes()
        with torch.no_grad():
            for name, parameter in network.named_weights().items():
                if name in present:
                    parameter.copy_(torch.tensor(to_float32(weights[name])))
                else:
                    parameter.zero_()
        return network

    @classmethod
    def from_folder(cls, path: str | Path, regularization: Regularization | None = None) -> Self:
        """A network with the weights of a model folder, to fine-tune it. See ``from_model``.

        Args:
            path: the model folder.
            regularization: dropout of all kinds and penalties; none by default.

        Raises:
            FolderError: there is no model folder, or it is damaged.
        """
        folder = read_folder(path)
        return cls.from_model(folder.config, folder.weights, regularization)

    def initial_state(self, batch_size: int) -> State:
        """The state before the first word: zeros, ``[L, batch_size, H]`` each."""
        config = self.config
        like = self.embedding.weight
        return initial_state(self.cell, config.layers, batch_size, config.hidden_size, like)

    def forward(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read ``ids [T, B]`` from ``state`` (``[L, B, H]`` each).

        Returns:
            What the decoder reads, ``[T, B, P or H]``, and the state afterwards, in float32.
        """
        hidden, state = self._read(ids, state)
        return self.output_dropout(hidden), state

    def _read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """What the decoder reads ``[T, B, P or H]``, before dropout, and the state afterwards."""
        # Only the words of a batch have a gradient in the embedding. If the decoder uses the same
        # weights, its own gradient is dense, and it is faster to add these few rows to it than a
        # second whole matrix. A GPU adds whole matrices in microseconds.
        config = self.config
        sparse = config.tied and config.vocab_size >= SPARSE_MIN_VOCAB and ids.is_cpu
        vectors = F.embedding(ids, self.embedding.weight, sparse=sparse)
        x = self.input_dropout(self.embedding_dropout(vectors, ids))
        after: list[State] = []
        last = len(self.layers) - 1
        line_ends = {} if config.carry_state else find_line_ends(ids)
        for number, layer in enumerate(self.layers):
            layer_state = type(state)(*(part[number : number + 1] for part in state))
            x, layer_state = read_lines(layer, x, layer_state, line_ends)
            if number < last:
                x = self.hidden_dropout(x)
            after.append(layer_state)
        if self.projection is not None:
            x = self.projection(x)
        state = type(state)(*(torch.cat(parts).float() for parts in zip(*after, strict=True)))
        return x, state

    def loss(self, ids: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """The loss of predicting ``targets [T, B]``, each from the ``ids [T, B]`` up to it.

        Args:
            ids: the words that are read, ``[T, B]``.
            targets: the words that follow each of them, ``[T, B]``.
            state: the state before, ``[L, B, H]`` each.

        Returns:
            The mean cross-entropy in nats per word, and the state afterwards. In training mode its
            gradient is that of the cross-entropy and the penalties of the regularization together.
        """
        hidden, state = self._read(ids, state)
        dropped = self.output_dropout(hidden)
        x = dropped
        if x.is_cuda and self.precision == "bfloat16":
            x = x.bfloat16()  # the layers gave float32
        loss = self.decoder.loss(x.flatten(0, 1), targets.flatten())
        alpha = self.regularization.activation_regularization
        beta = self.regularization.temporal_activation_regularization
        if self.training and (alpha or beta):
            penalty = activation_penalty(dropped.float(), hidden.float(), alpha, beta)
            # Its gradient counts, and its value does not: the loss stays comparable.
            loss = loss + (penalty - penalty.detach())
        return loss, state

    def autocast(self) -> torch.autocast:
        """A context in which large products are made in ``precision``."""
        device = self.embedding.weight.device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.precision == "bfloat16")

    def recurrent_weights(self) -> dict[str, Tensor]:
        """The layers' parameters by their names in a model folder (``layers.0.weight_ih``)."""
        parameters = cast("dict[str, Tensor]", dict(self.layers.named_parameters()))
        return {
            "layers." + name.replace("fused.", "").removesuffix("_l0"): weight
            for name, weight in parameters.items()
        }

    def named_weights(self) -> dict[str, Tensor]:
        """All parameters by their names in a model folder."""
        weights = {"embedding.weight": self.embedding.weight, **self.recurrent_weights()}
        if self.projection is not None:
            weights["projection.weight"] = self.projection.weight
        weights |= self.decoder.named_weights()
        if self.config.tied:
            weights.pop("decoder.weight", None)
        return weights

    def export(self) -> dict[str, np.ndarray]:
        """Copies of the weights as float32 arrays, by their names in a model folder."""
        return {
            name: weight.detach().float().cpu().numpy().copy()
            for name, weight in self.named_weights().items()
        }
