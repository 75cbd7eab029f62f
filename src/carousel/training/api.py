"""The public functions that train: every setting by its name. PyTorch is loaded when they run."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from carousel.errors import SettingsError
from carousel.model import LanguageModel

if TYPE_CHECKING:
    from carousel.training.run.callbacks import Callback
    from carousel.training.run.progress_reporter import ProgressReporter

NEEDED = ("torch", "matplotlib", "tomli_w")
"""What training needs beyond a plain install."""


# Long by the settings, of which each has its own argument.
def train(
    sources: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    base_model: str | Path | None = None,
    recipe: str | None = None,
    force: bool = False,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    skip_bad_files: bool = False,
    tensorboard: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    tokenizer: str | None = None,
    lowercase: bool | None = None,
    min_count: int | None = None,
    unk_probability: float | None = None,
    vocab_size: int | None = None,
    extend_vocab: bool | None = None,
    valid_fraction: float | None = None,
    test_fraction: float | None = None,
    cell: str | None = None,
    layers: int | None = None,
    embedding_size: int | None = None,
    embedding_std: float | None = None,
    hidden_size: int | None = None,
    tie_embeddings: bool | None = None,
    projection_size: int | None = None,
    dropout: float | None = None,
    input_dropout: float | None = None,
    hidden_dropout: float | None = None,
    output_dropout: float | None = None,
    locked_dropout: bool | None = None,
    embedding_dropout: float | None = None,
    weight_drop: float | None = None,
    activation_regularization: float | None = None,
    temporal_activation_regularization: float | None = None,
    softmax: str | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    schedule: str | None = None,
    l2_sp: float | None = None,
    weight_decay: float | None = None,
    warmup: float | None = None,
    grad_clip: float | None = None,
    averaging: str | None = None,
    ema_decay: float | None = None,
    batch_size: int | None = None,
    bptt: int | None = None,
    random_bptt: bool | None = None,
    carry_state: bool | None = None,
    epochs: float | None = None,
    max_minutes: float | None = None,
    patience: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    precision: str | None = None,
) -> LanguageModel:
    """Train a model on text; needs PyTorch (``pip install 'carousel-lstm[train]'``).

    A setting that is None has the recipe's value. Without a recipe it follows from the text, the
    machine and the time (``carousel.training.defaults``), or has its default.

    Args:
        sources: files, folders, globs, or ``-`` for standard input.
        out: the model folder to write; it holds the best model on validation at every moment.
        valid: files to validate on; else a share of the text's end is taken.
        test: files to test on when all is over; else a share of the text's end, if set.
        base_model: the model to fine-tune: a folder, or the name of one that comes with Carousel.
            It is not changed. Without it, the weights start anew.
        recipe: a TOML file of settings, or the name of one that comes with Carousel.
        force: replace a model that is in ``out``.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
        skip_bad_files: go on without the files that can't be read as text, with a warning.
        tensorboard: write TensorBoard logs beside ``out``.
        progress: show how training goes, on standard error or in the notebook.
        callbacks: told of the run's progress; see ``carousel.training.run.callbacks.Callback``.
        tokenizer: how the text is split into tokens: words, whitespace, chars or bpe.
        lowercase: convert the text to lower case. The default is true for words, false for the
            others.
        min_count: tokens that occur fewer times than this become the unknown token.
        unk_probability: with ``min_count`` 1, how often a word that occurs once stands for the
            unknown word.
        vocab_size: the largest size of the vocabulary. For bpe, the size to reach.
        extend_vocab: fine-tuning: add the text's new words to the model's vocabulary.
        valid_fraction: fraction of the text, at its end, for validation. Not used with a validation
            file.
        test_fraction: fraction of the text, at its very end, for one test after training.
        cell: the cell: rnn, gru, gru-reset-before, lstm, lstm-peephole, cifg or cifg-peephole.
        layers: number of recurrent layers.
        embedding_size: size of the embedding vectors (E).
        embedding_std: standard deviation of the embedding's initial values, which are normally
            distributed.
        hidden_size: number of units in each layer (H).
        tie_embeddings: use the embedding's weights in the decoder too. If E and H differ, a
            projection is added.
        projection_size: size of a projection before the decoder, or 0 for none. With tied
            embeddings: 0 or E.
        dropout: dropout probability after the embedding, between layers and before the decoder.
        input_dropout: dropout probability after the embedding. The default is the value of dropout.
        hidden_dropout: dropout probability between layers. The default is the value of dropout.
        output_dropout: dropout probability before the decoder. The default is the value of dropout.
        locked_dropout: locked (variational) dropout: drop the same units at every word of a
            sequence.
        embedding_dropout: probability of dropping a word of the vocabulary at all its places in a
            batch.
        weight_drop: dropout probability of the recurrent weights.
        activation_regularization: AR: weight of the penalty on large values of what the decoder
            reads.
        temporal_activation_regularization: TAR: weight of the penalty on how much these values
            change from word to word.
        softmax: full; adaptive (rare words in clusters); sampled (trained on an estimate); or auto.
        optimizer: the optimizer: adamw or sgd.
        learning_rate: the highest learning rate. It is reached after warm-up.
        schedule: the learning rate after warm-up: cosine (it falls to 0 along a cosine) or
            constant.
        l2_sp: fine-tuning: L2-SP, the strength that pulls the weights back to those of the model.
        weight_decay: weight decay: decoupled for adamw, an L2 penalty for sgd.
        warmup: fraction of the run in which the learning rate rises.
        grad_clip: the largest norm of the gradients; larger ones are scaled down. 0 turns this off.
        averaging: averaged weights: none, ema (exponential), or nt-asgd (the mean once validation
            stalls).
        ema_decay: for ema: the part of the average that stays at each step.
        batch_size: number of text streams read side by side (B).
        bptt: number of tokens through which gradients flow back (truncated BPTT, T).
        random_bptt: vary the length of batches around bptt at random, and the learning rate with
            it.
        carry_state: carry the state over the end of a line. If not, each line is a text of its own.
        epochs: number of passes over the text. 10 in a recipe that gives no length.
        max_minutes: length of the training in minutes, validation included. The schedule is fitted
            to it.
        patience: early stopping: stop after this many validations without improvement. 0 turns this
            off.
        seed: random seed of the initial weights and of dropout.
        device: where to train: auto, cpu, cuda or mps.
        threads: number of CPU threads. The default is PyTorch's choice.
        precision: number format of large matrix products: float32; bfloat16 (with float16 in the
            layers on a GPU); or auto (the faster one).

    Returns:
        the model with the best weights on validation.

    Raises:
        SettingsError: a setting that makes no sense, or PyTorch is not installed.
        TextError: a text that can't be read.
        FolderError: a model is in ``out``, or it can't be written.
        TrainingError: the loss diverges again and again; the best model so far stays.

    ::

        model = carousel.train(["notes.txt"], out="models/notes", cell="gru", epochs=5)
    """
    given = dict(locals())
    settings = {name: given[name] for name in list(given) if name not in ARGUMENTS}
    _check_installed()
    from carousel.training.job import train_model

    with _make_reporter(progress) as reporter:
        return train_model(
            [sources] if isinstance(sources, str | Path) else list(sources),
            out=out,
            valid=valid,
            test=test,
            base_model=base_model,
            recipe=recipe,
            settings=settings,
            force=force,
            encoding=encoding,
            encoding_errors=encoding_errors,
            skip_bad_files=skip_bad_files,
            tensorboard=tensorboard,
            reporter=reporter,
            callbacks=callbacks,
        )


def resume(
    folder: str | Path, *, progress: bool = True, callbacks: Sequence[Callback] = ()
) -> LanguageModel:
    """Go on with a run that was interrupted or killed, from its last checkpoint.

    Args:
        folder: the model folder of the run; settings and text are found from what lies beside it.
        progress: show how training goes, on standard error or in the notebook.
        callbacks: told of the run's progress; see ``carousel.training.run.callbacks.Callback``.

    Returns:
        the model with the best weights on validation.

    Raises:
        FolderError: the run has finished, there are no checkpoints, or they are damaged.
        TextError: the text is gone or has changed.
        SettingsError: PyTorch is not installed.
        TrainingError: the loss diverges again and again.
    """
    _check_installed()
    from carousel.training.job import resume_training

    with _make_reporter(progress) as reporter:
        return resume_training(folder, reporter=reporter, callbacks=callbacks)


ARGUMENTS = (
    "sources", "out", "valid", "test", "base_model", "recipe", "force", "encoding",
    "encoding_errors", "skip_bad_files", "tensorboard", "progress", "callbacks",
)  # fmt: skip
"""The arguments of ``train`` that are no settings."""


def _check_installed() -> None:
    for name in NEEDED:
        if find_spec(name) is None:
            raise SettingsError(
                f"training needs {name}, which is not installed: pip install 'carousel-lstm[train]'"
            )


def _make_reporter(progress: bool) -> ProgressReporter:
    from carousel.training.run.progress_reporter import ConsoleReporter, NoProgress

    # The processes of a run beside the first one show nothing in any case.
    return ConsoleReporter() if progress else NoProgress()
