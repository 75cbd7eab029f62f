"""The device and the number format of a run."""

import pytest
import torch

from carousel.errors import SettingsError
from carousel.training.run.device import choose_device, choose_precision


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    absent = "mps" if not torch.mps.is_available() else "cuda"
    with pytest.raises(SettingsError, match=f"device {absent} is not in this machine"):
        choose_device(absent)
    assert choose_precision("float32", torch.device("cpu")) == "float32"
    assert choose_precision("auto", torch.device("cpu")) in ("float32", "bfloat16")
