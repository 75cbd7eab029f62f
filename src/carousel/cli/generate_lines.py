"""``carousel generate`` with several prompts or several samples: all are stepped together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from carousel.cli.output import note_unknown_words, print_json
from carousel.cli.predict_lines import read_lines
from carousel.errors import PredictionError, SettingsError
from carousel.model import LanguageModel
from carousel.text.printable import printable_text

PROMPTS = 64
"""Prompts that are read at a time, so that a file of any size can be continued."""


def generate_lines(
    model: LanguageModel,
    prompts: Sequence[str] | str,
    samples: int,
    settings: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Print continuations: a JSON object for each prompt, or for people each text on its own.

    Args:
        model: the model.
        prompts: the texts to continue, or the file whose lines they are.
        samples: how many continuations of each.
        settings: those of ``LanguageModel.stream``.
        as_json: print JSON.

    Raises:
        SettingsError: beam search with several samples.
        PredictionError: a line whose words are all unknown; it is named by its number.
    """
    beam = "num_beams" in settings
    if beam and samples > 1:
        raise SettingsError("beam search finds one text: leave out --samples or --beam")
    lines = iter(read_lines(prompts) if isinstance(prompts, str) else prompts)
    number = 0
    while texts := list(islice(lines, PROMPTS)):
        for text in texts:
            number += 1
            check_prompt(model, text, number)
        if beam:
            continued = [["".join(model.stream(text, **settings))] for text in texts]
        else:
            continued = model.generate_batch(texts, num_return_sequences=samples, **settings)
        for text, generated in zip(texts, continued, strict=True):
            show_texts(model, text, generated, as_json=as_json)


def check_prompt(model: LanguageModel, text: str, number: int) -> None:
    """Refuse a prompt of which the model knows no word, by its number.

    Raises:
        PredictionError: none of its words is known.
    """
    from carousel.predict.next_words import encode_known

    try:
        encode_known(model.tokenizer, text)
    except PredictionError as error:
        raise PredictionError(f"prompt {number}: {error}") from None


def show_texts(model: LanguageModel, text: str, generated: Sequence[str], *, as_json: bool) -> None:
    """Print the continuations of one prompt."""
    unknown = note_unknown_words(model.tokenizer, text)
    if as_json:
        words = [asdict(word) for word in unknown]
        print_json({"text": text, "generated": list(generated), "unknown": words})
        return
    for continuation in generated:
        print(printable_text(text + continuation))
