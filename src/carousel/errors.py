"""The errors a user can meet: each says in one line what was wrong, where, and what to do."""

from __future__ import annotations


class CarouselError(Exception):
    """Base of all errors that are for people. The command line prints it and exits with 2."""


class TextError(CarouselError, ValueError):
    """A text that can't be read or has too little in it."""


class SettingsError(CarouselError, ValueError):
    """A flag, argument or recipe entry that makes no sense."""


class TrainingError(CarouselError, RuntimeError):
    """A run whose loss is lost for good, even at a lower rate; what it kept stays."""


class FolderError(CarouselError, OSError):
    """A model folder that is missing, damaged, foreign, or can't be written."""


class PredictionError(CarouselError, ValueError):
    """A request that the model can't answer, such as more words than it knows."""


class LensError(CarouselError, ValueError):
    """A gate, layer, unit or word that is not there, or a question that a cell can't answer."""


class ConvertError(CarouselError, ValueError):
    """A model or vocabulary of another library that can't be read, or can't become ours."""


class EngineError(CarouselError, ImportError):
    """The kernels that were asked for are not on this machine."""


class UntouchedWarning(UserWarning):
    """A clamp that met none of the words it was for, and so changed nothing."""


class SkippedWarning(UserWarning):
    """Files or folders that were not read, and why."""


class UnspacedScriptWarning(UserWarning):
    """A text whose script has no spaces between words, for a tokenizer that cuts into words."""
