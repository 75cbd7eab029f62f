"""What the pictures of several models share: one quantity over the words, a curve for each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MODEL_STYLES = (
    ("forget", "square"),
    ("output", "triangle"),
    ("input", "circle"),
    ("candidate", "diamond"),
)
"""Colour and mark of the first model, the second, ...: they begin again after the last."""


class CurvePlot(NamedTuple):
    """One quantity over the ``T`` words of a text."""

    caption: str
    curves: dict[str, np.ndarray]
    """``[T]`` by model; NaN where there is no value."""
    is_share: bool
    """Whether values lie between 0 and 1 and are written as per cent."""

    @property
    def top(self) -> float:
        """The value at the upper edge: 1 for shares, else the largest."""
        if self.is_share:
            return 1.0
        return max(*(float(np.nanmax(curve)) for curve in self.curves.values()), 1e-12)

    def label(self, value: float) -> str:
        """A value as it is written."""
        return f"{value:.0%}" if self.is_share else f"{value:.2f}"


def model_style(models: Sequence[str], name: str) -> tuple[str, str]:
    """The colour and the mark of the model ``name`` among ``models``."""
    return MODEL_STYLES[list(models).index(name) % len(MODEL_STYLES)]
