"""Scores for columns of texts, as data engines ask for them, such as Ray Data's ``map_batches``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from carousel.errors import SettingsError
from carousel.model import LanguageModel
from carousel.predict.score import score_texts

SCORES = ("log_probability", "perplexity", "tokens", "unknown")
"""The columns that are added."""


class BatchScorer:
    """Adds the scores of a column of texts to batches of a table.

    A data engine makes one of these for each of its workers. Each maps the model's file, so that
    all workers of a machine share one copy of the weights, and scores on one thread. Each text is
    read as a line of its own.

    Args:
        model: a model folder that every worker can open, or a model that comes with the package.
        column: the name of the column that holds the texts.
        prefix: what the names of the new columns begin with.

    Raises:
        FolderError: no model there, or a damaged one.

    With Ray Data, over Parquet or text files::

        texts = ray.data.read_parquet("corpus/")             # or read_text
        scored = texts.map_batches(
            carousel.BatchScorer,
            fn_constructor_kwargs={"model": "models/notes", "column": "text"},
            batch_format="numpy",
            concurrency=2,      # workers; leave a CPU or more to the tasks that read
        )
        scored.filter(lambda row: row["perplexity"] < 200).write_parquet("kept/")

    >>> import numpy as np
    >>> scorer = BatchScorer("stories-lstm")
    >>> scored = scorer({"text": np.array(["krish likes pizza", "pizza pizza krish"])})
    >>> bool(scored["perplexity"][0] < scored["perplexity"][1])
    True
    """

    def __init__(self, model: str | Path, column: str = "text", prefix: str = "") -> None:
        self.model = LanguageModel.load(model)
        self.column, self.prefix = column, prefix

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score a batch.

        Args:
            batch: columns of one length ``[N]`` by name; missing texts (None) get NaN.

        Returns:
            The columns, and with them ``log_probability`` (in nats) and ``perplexity`` (per token),
            ``[N]`` of float64, ``tokens`` and ``unknown``, ``[N]`` of int64.

        Raises:
            SettingsError: there is no such column, a new one is there already, or what is in it is
                no text.
        """
        if self.column not in batch:
            raise SettingsError(f"there is no column {self.column!r} among {', '.join(batch)}")
        if taken := [self.prefix + name for name in SCORES if self.prefix + name in batch]:
            raise SettingsError(f"the column {taken[0]!r} is there already: give a prefix")
        texts = list(batch[self.column])
        if wrong := [text for text in texts if not isinstance(text, str | None)]:
            raise SettingsError(f"{self.column!r} holds {type(wrong[0]).__name__}, not text")
        there = np.array([text is not None for text in texts], dtype=bool)
        scores = score_texts(
            self.model.model, self.model.tokenizer, [t for t in texts if t is not None]
        )
        added: dict[str, np.ndarray] = {
            "log_probability": np.full(len(texts), np.nan),
            "perplexity": np.full(len(texts), np.nan),
            "tokens": np.zeros(len(texts), dtype=np.int64),
            "unknown": np.zeros(len(texts), dtype=np.int64),
        }
        added["log_probability"][there] = [score.log_probability for score in scores]
        added["perplexity"][there] = [score.perplexity for score in scores]
        added["tokens"][there] = [len(score.tokens) for score in scores]
        added["unknown"][there] = [score.unknown for score in scores]
        return {**batch, **{self.prefix + name: values for name, values in added.items()}}
