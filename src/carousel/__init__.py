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
    sources: Sequence[str | Path] | str | Path | None = None,
    *,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    recipe: str | None = None,
    force: bool = False,
    **settings: Any,
) -> LanguageModel:
    """Train a model on text; needs PyTorch (``pip install 'carousel-lstm[train]'``).

    ``settings`` are those of ``carousel.training.settings.Settings`` (``cell="gru"``,
    ``epochs=5``). See ``carousel.training.job.train_model``. ``train(resume="models/notes")``
    goes on with a run that was interrupted or killed: it takes nothing else.

    Raises:
        CarouselError: in one line, what is wrong with the text, a setting or the folder.
    """
    from importlib.util import find_spec

    from carousel.errors import SettingsError

    if find_spec("torch") is None:
        raise SettingsError("training needs PyTorch: pip install 'carousel-lstm[train]'")
    from carousel.training.job import resume_training, train_model

    if resume is not None:
        if sources is not None or out is not None or valid or recipe or force or settings:
            raise SettingsError(
                "resume goes on with the files and settings of the run: give no other"
            )
        return resume_training(resume)
    if sources is None:
        raise SettingsError("no text was named: give files, or resume=DIR to go on with a run")
    return train_model(
        [sources] if isinstance(sources, str | Path) else list(sources),
        out=out,
        valid=valid,
        recipe=recipe,
        settings=settings,
        force=force,
    )
