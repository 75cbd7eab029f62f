"""Training, on PyTorch: everything else in Carousel works without it."""

from carousel.train.job import train_model
from carousel.train.settings import Settings, read_recipe

__all__ = ["Settings", "read_recipe", "train_model"]
