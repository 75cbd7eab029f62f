"""The models that come with the package: small ones that learned the built-in stories."""

from __future__ import annotations

from pathlib import Path

PRETRAINED = Path(__file__).parent
DEFAULT = "stories-lstm"


def pretrained_models() -> list[str]:
    """The names of the models that come with the package.

    >>> pretrained_models()
    ['stories-gru', 'stories-lstm', 'stories-rnn']
    """
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def find_folder(name: str | Path | None) -> Path:
    """The folder of a model: ``name`` itself where it exists, else the pretrained one of that name.

    Args:
        name: a model folder, or the name of a model that comes with the package; None for
            ``stories-lstm``. A folder that exists wins over a pretrained model of the same name.
    """
    folder = Path(DEFAULT if name is None else name)
    if not folder.exists() and str(folder) in pretrained_models():
        return PRETRAINED / folder
    return folder
