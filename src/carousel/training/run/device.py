"""The device of a run, its number format, and its memory."""

from __future__ import annotations

import torch

from carousel.errors import SettingsError
from carousel.training.nn.memory import keep_freed_memory
from carousel.training.run.distributed import Processes
from carousel.training.settings import Settings


def prepare_device(settings: Settings, group: Processes) -> torch.device:
    """Choose the device of this process, set its threads, and keep its memory.

    Raises:
        SettingsError: the device is not in this machine, or there are too few of them.
    """
    device = group.choose_device(choose_device(settings.device))
    if settings.threads:
        torch.set_num_threads(settings.threads)
    keep_freed_memory()
    return device


def choose_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is the first of CUDA, MPS and CPU that is there.

    Raises:
        SettingsError: the named device is not in this machine.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise SettingsError(f"device {name} is not in this machine: use --device auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """The number format of a name; ``auto`` is bfloat16 if the device is faster in it."""
    if name != "auto":
        return name
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"
