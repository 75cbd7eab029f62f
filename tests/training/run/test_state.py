"""The state of a run comes back from its checkpoints, and what can't be is refused."""

import numpy as np
import pytest
import torch

from carousel.errors import FolderError
from carousel.storage.config import Config
from carousel.training.nn.network import Network
from carousel.training.run.checkpoint import Checkpoint, MemoryStore
from carousel.training.run.distributed import SingleProcess
from carousel.training.run.loop import fit
from carousel.training.run.optimizer import make_optimizer
from carousel.training.run.state import TrainingState
from carousel.training.settings import Settings

CPU = torch.device("cpu")
V = 7
CYCLE = np.tile(np.array([2, 5, 3, 6, 4], dtype=np.uint16), 60)
SETTINGS = Settings(batch_size=4, bptt=10, epochs=1.0, learning_rate=0.02)


def make_network():
    torch.manual_seed(3)
    sizes = {"cell": "lstm", "embedding_size": 4, "hidden_size": 8, "layers": 1}
    return Network(Config(vocab_size=V, tied=False, **sizes))


def make_state(network, batch_size=4):
    return TrainingState(
        network=network,
        optimizer=make_optimizer(network, SETTINGS, CPU),
        optimizer_name="adamw",
        recurrent=network.initial_state(batch_size),
        loss_sum=torch.zeros(()),
        recent_loss_sum=torch.zeros(()),
    )


def run(store, epochs=1.0):
    settings = Settings(batch_size=4, bptt=10, epochs=epochs, learning_rate=0.02)
    fit(make_network(), CYCLE, CYCLE[:100], settings, [], CPU, store)


def test_names_in_a_checkpoint_stay_what_they_are():
    """Checkpoints of earlier versions can be resumed."""
    store = MemoryStore()
    run(store, epochs=5.0)
    assert store.last.counters.keys() == {
        "step", "tokens", "epoch", "fraction", "seconds", "learning_rate", "train_loss",
        "valid_loss", "best_loss", "tokens_per_second", "loss_count", "worse_in_a_row",
        "validated_at", "tokens_at", "validation_seconds", "validating", "rate", "retreats", "rows",
    }  # fmt: skip
    names = {name for name in store.last.tensors if not name.startswith(("weights", "optimizer"))}
    assert names == {"loss_sum", "recent", "state.0", "state.1", "random.cpu"}
    assert "weights.layers.0.fused.weight_ih_l0" in store.last.tensors
    assert "optimizer.0.exp_avg_sq" in store.last.tensors


def test_a_state_comes_back_whole_or_in_shards():
    store = MemoryStore()
    run(store, epochs=5.0)
    state = make_state(make_network())
    state.load_checkpoint(store.load(state.checkpoint_spec(4)), slice(None))
    again = state.to_checkpoint(SingleProcess(), 4)
    assert again.counters == store.last.counters
    assert again.counters["step"] > 0
    assert again.tensors.keys() == store.last.tensors.keys()
    for name, tensor in store.last.tensors.items():
        assert torch.equal(again.tensors[name], tensor), name
    part = make_state(make_network(), batch_size=2)
    part.load_checkpoint(store.load(part.checkpoint_spec(4)), slice(1, 3))
    assert torch.equal(part.recurrent.c, state.recurrent.c[:, 1:3])


COUNTERS = [
    ({"step": "3"}, "step can't be '3'"),
    ({"step": -1}, "step -1 at a rate of 1.0 can't be"),
    ({"rate": 2.0}, "at a rate of 2.0 can't be"),
    ({"valid_loss": 3}, "valid_loss can't be 3"),
    ({"rows": [3]}, "rows must be a list of tables"),
    ({"more": 1}, "its counters are not step, tokens"),
]


@pytest.mark.parametrize(("change", "message"), COUNTERS, ids=[message for _, message in COUNTERS])
def test_counters_that_can_not_be_are_refused(change, message):
    class Changed(MemoryStore):
        def load(self, spec):
            checkpoint = super().load(spec)
            if checkpoint is not None:
                checkpoint.counters = checkpoint.counters | change
                spec.check(checkpoint)
            return checkpoint

    store = Changed()
    run(store)
    with pytest.raises(FolderError, match=message):
        run(store)


def test_moments_and_random_states_that_can_not_be_are_refused():
    store = MemoryStore()
    run(store, epochs=5.0)
    for name, part, message in (
        ("optimizer.1.step", None, "optimizer's state of weight 1 is incomplete"),
        (
            "random.cpu",
            torch.full_like(torch.get_rng_state(), 255),
            "not a state of random numbers",
        ),
    ):
        tensors = dict(store.last.tensors)
        tensors[name] = part
        tensors = {key: value for key, value in tensors.items() if value is not None}
        changed = MemoryStore()
        changed.last = Checkpoint(tensors, store.last.counters)
        changed.load = lambda spec, it=changed.last: spec.check(it)
        with pytest.raises(FolderError, match=message):
            run(changed, epochs=5.0)
