"""Carousel: recurrent next-word models you can see inside.

::

    import carousel

    model = carousel.train(["notes.txt"], out="models/notes", epochs=5)
    model = carousel.load("models/notes")
    model.next_words("on sunday i want to eat", k=5)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.errors import CarouselError
from carousel.model import LanguageModel

if TYPE_CHECKING:
    from carousel.lens.trace import Trace

__version__ = "0.1.0"
__all__ = ["CarouselError", "LanguageModel", "Trace", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    """``carousel.Trace``, loaded when it is asked for: predicting does without."""
    if name == "Trace":
        from carousel.lens.trace import Trace

        return Trace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(path: str | Path | None = None) -> LanguageModel:
    """Open a model folder, or by its name a model that comes with the package.

    Without a path it is the small LSTM story model. See ``LanguageModel.load``.
    """
    return LanguageModel.load(path)


def train(
    sources: Sequence[str | Path] | str | Path,
    *,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    recipe: str | None = None,
    force: bool = False,
    **settings: Any,
) -> LanguageModel:
    """Train a model on text; needs PyTorch (``pip install 'carousel-lstm[train]'``).

    ``settings`` are those of ``carousel.training.settings.Settings`` (``cell="gru"``,
    ``epochs=5``). See ``carousel.training.job.train_model``.

    Raises:
        CarouselError: in one line, what is wrong with the text, a setting or the folder.
    """
    from importlib.util import find_spec

    from carousel.errors import SettingsError

    if find_spec("torch") is None:
        raise SettingsError("training needs PyTorch: pip install 'carousel-lstm[train]'")
    from carousel.training.job import train_model

    return train_model(
        [sources] if isinstance(sources, str | Path) else list(sources),
        out=out,
        valid=valid,
        recipe=recipe,
        settings=settings,
        force=force,
    )
