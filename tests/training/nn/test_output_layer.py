"""The sampled softmax is an estimate in training, and exact elsewhere."""

import torch

from carousel.training.nn import output_layer as module
from carousel.training.nn.output_layer import FullSoftmax, SampledSoftmax


def test_sampled_in_training_and_exact_elsewhere(monkeypatch):
    monkeypatch.setattr(module, "SAMPLES", 4)
    torch.manual_seed(0)
    sampled, full = SampledSoftmax(6, 30, None), FullSoftmax(6, 30, None)
    full.load_state_dict(sampled.state_dict())
    x, y = torch.randn(5, 6), torch.arange(5)
    assert sampled.loss(x, y) != full.loss(x, y)
    assert sampled.eval().loss(x, y) == full.loss(x, y)
