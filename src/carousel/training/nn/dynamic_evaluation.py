"""A model that learns as it reads: dynamic evaluation.

Krause, Kahembwe, Murray & Renals 2018, arXiv:1709.07432, section 4.2. After each window of words
the weights ``w`` take one step on the loss of these words (``g`` is its gradient, ``w_0`` the
trained weights, ``r`` the root mean square of each weight's gradient in training)::

    w ← w - η g / (r + ε) + min(λ r / mean(r), 1) (w_0 - w)

A word is always predicted before it is learned from. The weights are part of the state, and a step
makes new ones, so that the model itself never changes and a branch goes its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from carousel.cells import HiddenState, LSTMState
from carousel.errors import LensError, PredictionError
from carousel.inference.backend import Reading, best_of
from carousel.inference.state import DynamicState, LearnedWeights, State
from carousel.storage.adaptation import DynamicParameters
from carousel.storage.config import Config
from carousel.storage.number_formats import StoredWeight
from carousel.training.nn.memory import keep_freed_memory
from carousel.training.nn.network import Network

PlainState = HiddenState | LSTMState
MEASURED_BATCH = (20, 32)
"""Words and streams of the batches over which gradients are measured."""
STEP_BLOCK = 2**16
"""Weights that take their step together: what is made of them is still in the cache."""


class DynamicBackend:
    """A backend that learns from what it reads. ``hidden`` holds log-probabilities, ``[T, B, V]``.

    It learns from a single sequence. Of several side by side, such as the beams of a search, it
    learns nothing.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk.
        parameters: rate, decay, ε and window.
        gradients: the root mean square of each weight's gradient, by name, as
            ``measure_gradients`` finds it; None for 1 everywhere.
    """

    context: int | None = None

    def __init__(
        self,
        config: Config,
        weights: Mapping[str, StoredWeight],
        parameters: DynamicParameters,
        gradients: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        keep_freed_memory()  # each window makes all weights anew
        self.config, self.parameters = config, parameters
        self.description = f"{parameters} {gradients is not None}"
        self.network = Network.from_model(config, weights).eval()
        self.trained = LearnedWeights(self.network.export())
        self.origin = {name: torch.from_numpy(w) for name, w in self.trained.arrays.items()}
        eta, decay, epsilon = parameters.learning_rate, parameters.decay, parameters.epsilon
        self.rates: dict[str, Tensor] = {}
        """η / (r + ε) of each weight."""
        self.pulls: dict[str, Tensor] = {}
        """The share of the way back to the trained weights."""
        mean = 1.0
        if gradients is not None:
            count = sum(values.size for values in gradients.values())
            mean = sum(float(values.sum(dtype=np.float64)) for values in gradients.values()) / count
        for name in self.origin:
            rms = torch.tensor(1.0 if gradients is None else gradients[name])
            self.rates[name] = eta / (rms + epsilon)
            self.pulls[name] = (decay / max(mean, 1e-30) * rms).clamp(max=1.0)

    def initial_state(self, batch: int = 1, position: int | np.ndarray = 0) -> State:
        """See ``Backend``: the trained weights."""
        with torch.no_grad():
            zeros = self.network.initial_state(batch)
        start = type(zeros)(*(part.numpy().copy() for part in zeros))
        window = np.full((self.parameters.window, batch), -1, dtype=np.int64)
        return DynamicState(start, start, window, self.trained)

    def read(self, ids: np.ndarray, state: State, record: Sequence[str] = ()) -> Reading:
        """See ``Backend``; gates can't be recorded.

        Raises:
            LensError: gates are asked for.
            PredictionError: the loss is not finite any more.
        """
        if not isinstance(state, DynamicState):
            raise TypeError("a state of a model that does not learn: take initial_state of this")
        if record:
            raise LensError("gates can't be watched while the model learns: leave adapt out")
        hidden = [np.empty((0, ids.shape[1], self.config.vocab_size), dtype=np.float32)]
        done = 0
        while done < len(ids):
            read_before = int((state.window[:, :1] >= 0).sum())
            if read_before == len(state.window):
                state = self._next_window(state, ids[done])
                read_before = 0
            count = min(len(state.window) - read_before, len(ids) - done)
            part = ids[done : done + count]
            if self._learns(state) and count == len(state.window) and done + count < len(ids):
                learned = state.learned
                read, state = self._learn(part, ids[done + count], state)
                log_probs = self._log_probs(read, learned)
            else:
                log_probs, inner = self._predict(part, state)
                window = state.window.copy()
                window[read_before : read_before + count] = part
                state = state._replace(inner=inner, window=window)
            hidden.append(log_probs)
            done += count
        return Reading(np.concatenate(hidden), state, {})

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """See ``Backend``: ``hidden`` is what is asked for. It is copied, as callers change it."""
        return hidden.copy()

    def log_probs(self, hidden: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """See ``Backend``."""
        picked: np.ndarray = hidden[np.arange(len(targets)), targets]
        return picked

    def top_k(self, hidden: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See ``Backend``; of equals the lower id comes first."""
        return best_of(hidden, k)

    def _learns(self, state: DynamicState) -> bool:
        return state.window.shape[1] == 1 and self.parameters.learning_rate > 0

    @torch.no_grad()
    def _predict(self, ids: np.ndarray, state: DynamicState) -> tuple[np.ndarray, PlainState]:
        """Log-probabilities ``[T, B, V]`` after each of ``ids [T, B]``, and the state after."""
        self._load(state.learned)
        read, after = self.network(_to_tensor(ids), _to_tensors(state.inner))
        return self._log_probs(read, state.learned), _to_arrays(after)

    @torch.no_grad()
    def _log_probs(self, read: Tensor, learned: LearnedWeights) -> np.ndarray:
        """Log-probabilities ``[T, B, V]`` from what the decoder reads, ``[T, B, P or H]``."""
        # Not with NumPy: its threads and PyTorch's would wait for each other's cores.
        self._load(learned)
        scores = self.network.decoder.logits(read)
        if not self.config.cutoffs:
            scores = torch.log_softmax(scores, dim=-1)
        return scores.numpy()

    def _next_window(self, state: DynamicState, following: np.ndarray) -> DynamicState:
        """The state at the start of the next window, after what was read was learned."""
        if not self._learns(state):
            return _start_window(state, state.inner, state.learned)
        return self._learn(state.window, following, state._replace(inner=state.start))[1]

    def _learn(
        self, ids: np.ndarray, following: np.ndarray, state: DynamicState
    ) -> tuple[Tensor, DynamicState]:
        """Read a whole window and learn from it: each word is the target of the one before it.

        Args:
            ids: the window's words, ``[W, 1]``.
            following: the word after them, ``[1]``.
            state: the state at the start of the window.

        Returns:
            What the decoder reads, ``[W, 1, P or H]``, before anything is learned, and the state at
            the start of the next window.
        """
        self._load(state.learned)
        read, after = self.network(_to_tensor(ids), _to_tensors(state.inner))
        targets = _to_tensor(np.concatenate([ids[1:], following[None]]).astype(np.int64))
        loss = self.network.decoder.loss(read.flatten(0, 1), targets.flatten())
        if not torch.isfinite(loss):
            raise PredictionError(
                "the weights grew beyond all bounds while the model learned: take a lower "
                "learning_rate (carousel tune finds one)"
            )
        parameters = self.network.named_weights()
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            stepped = {
                name: self._step(name, weight, gradient).numpy()
                for (name, weight), gradient in zip(parameters.items(), gradients, strict=True)
            }
        next_state = _start_window(state, _to_arrays(after), LearnedWeights(stepped))
        return read.detach(), next_state

    def _step(self, name: str, weight: Tensor, gradient: Tensor) -> Tensor:
        stepped = torch.empty(weight.shape)
        parts = (stepped, weight, self.origin[name], self.pulls[name], gradient, self.rates[name])
        blocks = (torch.split(part.flatten(), STEP_BLOCK) for part in parts)
        for after, before, trained, pull, slope, rate in zip(*blocks, strict=True):
            torch.lerp(before, trained, pull, out=after).addcmul_(slope, rate, value=-1)
        return stepped

    def _load(self, learned: LearnedWeights) -> None:
        """Let the network compute with these weights, where they lie."""
        for name, parameter in self.network.named_weights().items():
            parameter.data = torch.from_numpy(learned.arrays[name])


def measure_gradients(
    config: Config,
    weights: Mapping[str, StoredWeight],
    ids: np.ndarray,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Config, dict[str, np.ndarray]]:
    """The root mean square of each weight's gradient over the batches of a text.

    Args:
        config: the shape of the model.
        weights: its weights by their names on disk.
        ids: the text's token ids, ``[N]``.
        on_progress: ``on_progress(done, total)`` counts tokens.

    Returns:
        The network's configuration, and by its weights' names arrays of their shapes.

    Raises:
        PredictionError: the text has less than two words.
    """
    network = Network.from_model(config, weights).eval()
    length, streams = MEASURED_BATCH
    streams = max(1, min(streams, (len(ids) - 1) // (2 * length)))
    rows = (len(ids) - 1) // streams
    if rows < 1:
        raise PredictionError("there is no text to measure gradients on")
    starts = np.arange(streams) * rows
    state = network.initial_state(streams)
    parameters = network.named_weights()
    squares = {name: torch.zeros_like(weight) for name, weight in parameters.items()}
    batches = 0
    for first in range(0, rows, length):
        where = starts[None, :] + np.arange(first, min(first + length, rows))[:, None]
        inputs, targets = (torch.from_numpy(ids[at].astype(np.int64)) for at in (where, where + 1))
        loss, state = network.loss(inputs, targets, state)
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        state = type(state)(*(part.detach() for part in state))
        for square, gradient in zip(squares.values(), gradients, strict=True):
            square.addcmul_(gradient, gradient)
        batches += 1
        if on_progress:
            on_progress(min(first + length, rows) * streams, rows * streams)
    rms = {name: square.div_(batches).sqrt_().numpy() for name, square in squares.items()}
    return network.config, rms


def network_config(config: Config) -> Config:
    """The configuration of the network that learns in the place of a model of ``config``."""
    return replace(config, dtype="float32", biases=True)


def _start_window(state: DynamicState, inner: PlainState, learned: LearnedWeights) -> DynamicState:
    return DynamicState(inner, inner, np.full_like(state.window, -1), learned)


def _to_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _to_tensors(state: PlainState) -> PlainState:
    return type(state)(*(_to_tensor(part) for part in state))


def _to_arrays(state: PlainState) -> PlainState:
    return type(state)(*(part.detach().numpy() for part in state))
