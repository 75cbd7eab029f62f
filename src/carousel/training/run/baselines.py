"""What a person needs beside a perplexity: the size of the text, and what counting would give."""

from __future__ import annotations

from carousel.ngram import measure_baselines
from carousel.training.data.splits import Splits
from carousel.training.run.progress import MetricsRow, perplexity
from carousel.training.run.progress_reporter import ProgressReporter

SMALL_TEXT = 20_000
"""With fewer tokens to train on, a person is told that the text is small."""
FEW_VALIDATION_TOKENS = 1_000
"""With fewer tokens to validate on, a person is told that the perplexity is rough."""


def note_small_text(splits: Splits, reporter: ProgressReporter) -> None:
    """Say before a run that its text is small, and what is to be expected of it."""
    if len(splits.train) < SMALL_TEXT:
        reporter.print(
            f"This text is small ({len(splits.train):,} tokens to train on): expect its commonest "
            "phrases and little more. From 100,000 words on, a model learns more than that"
        )
    if len(splits.valid) < FEW_VALIDATION_TOKENS:
        reporter.print(
            f"There are only {len(splits.valid):,} tokens to validate on: "
            "take the perplexity as a rough number"
        )


def report_baselines(splits: Splits, best_loss: float, reporter: ProgressReporter) -> MetricsRow:
    """Show what a unigram and a 5-gram of the training text reach on the validation text.

    Args:
        splits: the texts of the run.
        best_loss: the model's own loss on the validation text, in nats per token.
        reporter: shows them to a person.

    Returns:
        both perplexities, as a line of ``metrics.jsonl``.
    """
    tokenizer = splits.tokenizer
    found = measure_baselines(splits.train, splits.valid, tokenizer.vocab_size, tokenizer.eol_id)
    reporter.print(
        f"On the same text, a unigram has a perplexity of {found.unigram:,.2f} "
        f"and a 5-gram {found.five_gram:,.2f}"
    )
    if perplexity(best_loss) >= found.five_gram:
        reporter.print(
            "The model is no better than the 5-gram: it needs more text, more epochs, or both"
        )
    return {"unigram_perplexity": found.unigram, "five_gram_perplexity": found.five_gram}
