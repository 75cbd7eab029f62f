"""Training on a GPU: the losses and the gradients of a CPU, whatever autocast would rather do."""

import copy

import numpy as np
import pytest
import torch

from carousel.cells import CELLS, HiddenState, LSTMState
from carousel.storage.config import Config
from carousel.training.job import resume_training, train_model
from carousel.training.nn import architecture
from carousel.training.nn import loss as module
from carousel.training.nn.cutoffs import choose_tail_sizes
from carousel.training.nn.loss import (
    adaptive_cross_entropy,
    linear_cross_entropy,
    sampled_cross_entropy,
)
from carousel.training.nn.network import FUSED, SPARSE_MIN_VOCAB, FusedLayer, Network
from carousel.training.nn.regularization import Regularization
from carousel.training.run.device import choose_precision
from carousel.training.run.progress_reporter import NoProgress

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="PyTorch finds no CUDA device in this machine"
    ),
]

CUDA = torch.device("cuda")
PRECISIONS = [torch.float32, torch.bfloat16]
WORDS = 5000
CUTOFFS = (100, 1000)


def far(actual, expected):
    """How far a tensor is from another, as a share of its size."""
    expected = expected.double()
    return ((actual.cpu().double() - expected).norm() / expected.norm()).item()


def losses(tied):
    """A full and an adaptive loss over the same words, as functions of their weights."""
    torch.manual_seed(0)
    n, d, more = 300, 24, CUTOFFS[0] + len(CUTOFFS)
    targets = (WORDS ** torch.rand(n)).long() - 1
    weights = [torch.randn(n, d), 0.3 * torch.randn(WORDS, d), torch.randn(WORDS)]
    yield (lambda x, w, b, y: linear_cross_entropy(x, w, b, y)), weights, targets
    if tied:
        rows = [torch.randn(len(CUTOFFS), d), torch.randn(more)]
        tails = [0.3 * torch.randn(d, d) for _ in CUTOFFS]
        head = [weights[1], *rows]
    else:
        head = [0.3 * torch.randn(more, d), torch.randn(more)]
        sizes = [(6, CUTOFFS[1] - CUTOFFS[0]), (3, WORDS - CUTOFFS[1])]
        tails = [0.3 * torch.randn(s) for k, v in sizes for s in ((k, d), (v, k))]

    def adaptive(x, *given):
        *given, y = given
        return adaptive_cross_entropy(x, given[: len(head)], given[len(head) :], y, CUTOFFS)

    yield adaptive, [weights[0], *head, *tails], targets


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("rows", [64, 1000])
def test_the_fused_losses_are_those_of_float64(monkeypatch, dtype, rows, tied):
    monkeypatch.setattr(module, "GPU_CHUNK_BYTES", rows * WORDS * dtype.itemsize)
    # The chunks' sums are float32 always: float64 goes through PyTorch's own functions.
    for loss, given, targets in losses(tied):
        leaves = [one.double().requires_grad_() for one in given]
        wanted = reference(leaves, targets)
        there = [one.to(CUDA).requires_grad_() for one in given]
        # Autocast, were it heard, would make other numbers of some of the products.
        with torch.autocast("cuda", torch.float16):
            actual = loss(there[0].to(dtype), *there[1:], targets.to(CUDA))
        assert actual.dtype == torch.float32
        near = 1e-5 if dtype == torch.float32 else 0.02
        assert far(actual.detach(), wanted.detach()) < near
        ours = torch.autograd.grad(actual, there)
        theirs = torch.autograd.grad(wanted, leaves)
        for a, b in zip(ours, theirs, strict=True):
            assert far(a, b) < near


def reference(leaves, targets):
    """The same losses by PyTorch's own log_softmax, in the leaves' number format."""
    x, *weights = leaves
    if len(weights) == 2 and len(weights[0]) == WORDS:
        logits = x @ weights[0].T + weights[1]
        return torch.nn.functional.cross_entropy(logits, targets)
    if len(weights[0]) == WORDS:
        words, rows, bias, *narrow = weights
        head = torch.cat([words[: CUTOFFS[0]], rows])
        wide = [words[CUTOFFS[0] : CUTOFFS[1]], words[CUTOFFS[1] :]]
        tails = list(zip(narrow, wide, strict=True))
    else:
        head, bias, *halves = weights
        tails = list(zip(halves[::2], halves[1::2], strict=True))
    logs = torch.log_softmax(x @ head.T + bias, 1)
    parts = [logs[:, : CUTOFFS[0]]]
    for k, (narrow, wide) in enumerate(tails):
        inside = torch.log_softmax(x @ narrow.T @ wide.T, 1)
        parts.append(logs[:, CUTOFFS[0] + k, None] + inside)
    return torch.nn.functional.nll_loss(torch.cat(parts, 1), targets)


def test_the_sampled_loss_comes_to_the_full_one():
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(s, device=CUDA) for s in ((60, 8), (50, 8), (50,)))
    targets = torch.randint(50, (60,), device=CUDA)
    full = linear_cross_entropy(x, weight, bias, targets)
    actual = sampled_cross_entropy(x, weight, bias, targets, 200_000)
    torch.testing.assert_close(actual, full, rtol=0.01, atol=0.0)


def make_network(
    cell="lstm", cutoffs=(), words=SPARSE_MIN_VOCAB, embedding_std=0.1, regularization=None
):
    torch.manual_seed(0)
    sizes = {"embedding_size": 16, "hidden_size": 16, "layers": 2}
    tails = choose_tail_sizes(16, len(cutoffs), tied=True)
    config = Config(
        cell=cell, vocab_size=words, tied=True, cutoffs=cutoffs, tail_sizes=tails, **sizes
    )
    return Network(config, regularization, embedding_std=embedding_std)


@pytest.mark.parametrize("cutoffs", [(), (100, 1000)])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_s_gradients_are_a_cpu_s(cell, cutoffs, precision):
    batch, bptt = (64, 20) if cell in FUSED else (8, 9)
    network = make_network(cell, cutoffs)
    x, y = torch.randint(network.config.vocab_size, (2, bptt, batch))
    expected, _ = network.loss(x, y, network.initial_state(batch))
    expected.backward()
    there = copy.deepcopy(network).to(CUDA)
    there.zero_grad()
    there.precision = precision
    with there.autocast():
        actual, _ = there.loss(x.to(CUDA), y.to(CUDA), there.initial_state(batch))
    actual.backward()
    near = 1e-2 if precision == "float32" else 0.05  # cuDNN's float32 is TF32
    assert far(actual.detach(), expected.detach()) < near
    for (name, a), (_, b) in zip(there.named_parameters(), network.named_parameters(), strict=True):
        assert far(a.grad, b.grad) < near, name


def test_no_word_s_gradient_is_rounded_to_nothing():
    network = make_network(words=30_000, embedding_std=0.01).to(CUDA)
    network.precision = "bfloat16"
    x, y = torch.randint(100, (2, 70, 64), device=CUDA)
    with network.autocast():
        loss, _ = network.loss(x, y, network.initial_state(64))
    loss.backward()
    # Words that are no target, each of 1/30,000 of the probability, or nearly: of that a step's
    # 4,480 words have as many parts, which are too small for float16.
    pull = network.decoder.bias.grad[100:]
    torch.testing.assert_close(pull, torch.full_like(pull, 1 / 30_000), rtol=0.1, atol=0.0)


@pytest.mark.parametrize("weight_drop", [0.0, 0.5])
@pytest.mark.parametrize("cell", FUSED)
def test_a_fused_layer_s_small_gradients_are_not_rounded_to_nothing(cell, weight_drop):
    torch.manual_seed(0)
    layer = FusedLayer(cell, 128, 128, weight_drop).to(CUDA)
    shapes = (70, 80, 128), (1, 80, 128), (1, 80, 128)
    x, *state = (torch.randn(shape, device=CUDA, requires_grad=True) for shape in shapes)
    state = LSTMState(*state) if cell == "lstm" else HiddenState(state[0])
    inputs = [x, *state, *layer.parameters()]
    gradients = []
    for autocast in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            y, after = layer(x, state)
        # As in a mean over 5,600 words: float16 alone would be off by half of it.
        total = sum((part.double() * 1e-7).sum() for part in (y, *after))
        assert y.dtype == after.h.dtype == torch.float32
        gradients.append(torch.autograd.grad(total, inputs))
    for exact, half in zip(*gradients, strict=True):
        assert far(half, exact.cpu()) < 0.02


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weight_drop_gives_no_warning_of_cudnn(recwarn, precision):
    network = make_network(regularization=Regularization(weight_drop=0.5)).to(CUDA)
    network.precision = precision
    x = torch.zeros(9, 8, dtype=torch.long, device=CUDA)
    with network.autocast():
        network.loss(x, x, network.initial_state(8))
    assert not [one for one in recwarn if "contiguous" in str(one.message)]


LINES = "the cat sat on the mat\nthe dog ran to the cat\na cat likes the mat\n"
QUICK = {"hidden_size": 8, "embedding_size": 6, "epochs": 4.0, "batch_size": 2, "bptt": 8}


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(LINES * 20)
    return path


@pytest.mark.parametrize("softmax", ["full", "adaptive", "sampled"])
@pytest.mark.parametrize("cell", CELLS)
def test_a_small_run(text, tmp_path, monkeypatch, cell, softmax):
    monkeypatch.setattr(architecture, "choose_cutoffs", lambda counts: (4, 7))
    monkeypatch.setattr("carousel.training.nn.output_layer.SAMPLES", 4)
    monkeypatch.setattr(architecture, "SAMPLES", 4)
    settings = QUICK | {"device": "cuda", "cell": cell, "softmax": softmax, "learning_rate": 0.02}
    losses = []

    class Recorder(NoProgress):
        def on_validation(self, progress, *, is_best):
            losses.append(progress.valid_loss)

    out = tmp_path / "model"
    model = train_model([text], out=out, settings=settings | {"dropout": 0.1}, reporter=Recorder())
    assert losses[-1] < losses[0] < np.log(model.config.vocab_size) + 1
    ids = np.array(model.tokenizer.encode("the cat"))[:, None]
    hidden = model.model.read(ids, model.model.initial_state()).hidden
    assert np.isfinite(model.model.logits(hidden)).all()


def test_a_run_that_was_killed_goes_on(text, tmp_path):
    class KilledError(Exception):
        pass

    class Killer(NoProgress):
        def on_validation(self, progress, *, is_best):
            raise KilledError

    settings = QUICK | {"device": "cuda", "dropout": 0.2}
    whole = train_model([text], settings=settings)
    with pytest.raises(KilledError):
        train_model([text], out=tmp_path / "m", settings=settings, reporter=Killer())
    model = resume_training(tmp_path / "m")
    for name, weight in whole.model.weights.items():
        np.testing.assert_allclose(
            model.model.weights[name], weight, rtol=1e-3, atol=1e-4, err_msg=name
        )


def test_precision_follows_the_device():
    fast = torch.cuda.is_bf16_supported(including_emulation=False)
    assert choose_precision("auto", CUDA) == ("bfloat16" if fast else "float32")
