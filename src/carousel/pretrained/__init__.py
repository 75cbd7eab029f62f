"""The models that come with the package: one of everyday English, and three of built-in stories."""

from __future__ import annotations

from pathlib import Path

from carousel.errors import FolderError
from carousel.text.tokenizer import Tokenizer
from carousel.text.unknown_words import find_unknown_words

PRETRAINED = Path(__file__).parent
DEFAULT = "stories-lstm"
ENGLISH = "english"


def pretrained_models() -> list[str]:
    """The names of the models that come with the package.

    >>> pretrained_models()
    ['english', 'stories-gru', 'stories-lstm', 'stories-rnn']
    """
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def find_folder(name: str | Path | None) -> Path:
    """The folder of a model: ``name`` itself where it exists, else the pretrained one of that name.

    Args:
        name: a model folder, or the name of a model that comes with the package; None for
            ``stories-lstm``. A folder that exists wins over a pretrained model of the same name.

    Raises:
        FolderError: there is neither.
    """
    if name is None:  # nobody asked for what lies in the current directory
        return PRETRAINED / DEFAULT
    folder = Path(name)
    if folder.exists():
        return folder
    if str(folder) in pretrained_models():
        return PRETRAINED / folder
    names = ", ".join(pretrained_models())
    raise FolderError(f"{folder} is not there: give a model folder, or one of {names}")


def choose_model(texts: list[str]) -> str:
    """The pretrained model that answers texts where no model is named.

    The model of the stories answers texts whose words it knows, ``english`` all others.

    Args:
        texts: what is to be read; without a word in them, ``english`` answers.

    Returns:
        The model's name.

    >>> choose_model(["krish likes pizza"]), choose_model(["how are"]), choose_model([])
    ('stories-lstm', 'english', 'english')
    """
    path = PRETRAINED / DEFAULT / "tokenizer.json"
    tokenizer = Tokenizer.from_json(path.read_text(encoding="utf-8"), str(path))
    known = any(text.strip() for text in texts) and not any(
        find_unknown_words(tokenizer, text) for text in texts
    )
    return DEFAULT if known else ENGLISH
