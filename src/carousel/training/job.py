"""A training job: text files in, a model folder out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from carousel.errors import FolderError, SettingsError
from carousel.explain.history import History
from carousel.model import LanguageModel
from carousel.storage.model_folder import check_replaceable, is_model
from carousel.text.files import read_pieces
from carousel.text.tokenizer import Tokenizer
from carousel.training.data.splits import (
    Sources,
    Splits,
    find_sources,
    prepare_splits,
    reopen_splits,
)
from carousel.training.defaults import (
    Budget,
    choose_batch,
    choose_min_count,
    choose_settings,
    choose_tokenizer,
    describe_choice,
)
from carousel.training.nn.network import Network
from carousel.training.run.base_model import BaseModel, fine_tuning_settings, read_base_model
from carousel.training.run.baselines import note_small_text, report_baselines
from carousel.training.run.callbacks import Callback, LearningCurve, TensorBoardWriter
from carousel.training.run.checkpoint import CheckpointSpec, FileStore, tensor_specs
from carousel.training.run.device import choose_precision, prepare_device
from carousel.training.run.distributed import Processes, SingleProcess, init_process_group
from carousel.training.run.initial_network import make_network
from carousel.training.run.loop import fit
from carousel.training.run.model_writer import ModelWriter
from carousel.training.run.progress import Outcome
from carousel.training.run.progress_reporter import NoProgress, ProgressReporter
from carousel.training.run.run_folder import RunFolder, RunRecord
from carousel.training.run.validation import measure_loss
from carousel.training.settings import Settings, read_recipe, rename_keys


# Long by its arguments and their descriptions: the work is done by what it calls.
def train_model(
    sources: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    base_model: str | Path | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    encoding: str = "utf-8",
    encoding_errors: str = "strict",
    skip_bad_files: bool = False,
    tensorboard: bool = False,
    reporter: ProgressReporter | None = None,
    callbacks: Sequence[Callback] = (),
) -> LanguageModel:
    """Train a language model on text.

    Args:
        sources: files, folders, globs, or ``-`` for standard input.
        out: the model folder to write. From the first step on it holds the best model so far.
            Checkpoints are beside it, in ``out.run``, until the run has finished.
        valid: files to validate on. Without them, the end of the text is used.
        test: files to test on after training. Without them, the end of the text is used if
            ``test_fraction`` is set.
        base_model: the model to fine-tune: a folder, or the name of one that comes with Carousel.
            It is not changed. Without it, the weights start anew.
        recipe: a TOML file of settings, or the name of one that comes with Carousel.
        settings: settings by name, which override the recipe's. ``Settings`` lists them.
        force: replace a model that is in ``out``.
        encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
        encoding_errors: ``strict``, or ``replace`` for bytes that can't be read.
        skip_bad_files: go on without the files that can't be read as text, with a warning.
        tensorboard: write TensorBoard logs beside ``out``.
        reporter: shows the job to a person; by default nothing is shown.
        callbacks: told of the run's progress, after Carousel's own callbacks.

    Returns:
        The model with the best weights on validation.

    Raises:
        TextError: a text can't be read, or is too short.
        SettingsError: a setting that can't be used.
        FolderError: the folder is in use or can't be written. What was in it stays.
        TrainingError: the loss diverges again and again. The best model so far stays.

    ::

        model = train_model(["notes.txt"], out="models/notes", settings={"cell": "gru"})
    """
    reporter = reporter or NoProgress()
    with init_process_group() as group:
        if group.rank > 0:
            return _train_as_worker(group)
        tables: list[Mapping[str, Any]] = [
            read_recipe(recipe) if recipe else {},
            rename_keys(settings or {}),
        ]
        base = None
        if base_model is not None:
            base = read_base_model(base_model, None if out is None else Path(out))
            tables = fine_tuning_settings(base, *tables)
        chosen = Settings.merged(*tables)
        if base is None and (chosen.l2_sp or chosen.extend_vocab):
            raise SettingsError(
                "l2_sp and extend_vocab are for fine-tuning: name the model to start from (--from)"
            )
        run = None if out is None else RunFolder(Path(out))
        if run is not None:
            run.check_free(force=force)
            check_replaceable(run.model, force=force)
        device = prepare_device(chosen, group)
        files = find_sources(
            sources,
            valid,
            test,
            encoding_errors,
            encoding=encoding,
            skip_bad_files=skip_bad_files,
        )
        by_rule = base is None and recipe is None
        if by_rule:
            tables.insert(0, _choose_text_settings(files, *tables))
            chosen = Settings.merged(*tables)
        splits = prepare_splits(files, chosen, reporter, base and base.tokenizer)
        if by_rule:
            chosen = _choose_model_settings(splits, chosen, tables, device, group, reporter)
        elif recipe is None:
            by_text = choose_batch(len(splits.train), chosen.tokenizer)
            chosen = Settings.merged(by_text, *tables)
        replaces = run is not None and is_model(run.model)
        record = RunRecord(chosen, files, splits.cached, replaces, tensorboard)
        if base is not None:
            record = replace(record, base_model=BaseModel.of(base))
        _start_workers(group, record, splits.tokenizer)
        if run is None:
            return train_on_splits(splits, record, device, reporter, None, group, callbacks)
        with run:
            # While the text was read, another run may have ended in this folder.
            run.check_free(force=force)
            check_replaceable(run.model, force=force, in_run=True)
            run.begin(record, splits.tokenizer)
            return train_on_splits(splits, record, device, reporter, run, group, callbacks)


def _choose_text_settings(files: Sources, *given: Mapping[str, Any]) -> dict[str, Any]:
    """How a text is tokenized, where that was not given."""
    named = {name for table in given for name, value in table.items() if value is not None}
    chosen: dict[str, Any] = {}
    if not named & {"tokenizer", "lowercase", "vocab_size"}:
        beginning = read_pieces(
            files.train, encoding=files.encoding, encoding_errors=files.encoding_errors
        )
        chosen["tokenizer"] = choose_tokenizer(islice(beginning, 1))
    if "vocab_size" not in named:
        size = sum(path.stat().st_size for path in files.train)
        tokenizer = Settings.merged(chosen, *given).tokenizer
        chosen["min_count"] = choose_min_count(size, tokenizer)
    return chosen


def _choose_model_settings(
    splits: Splits,
    settings: Settings,
    tables: Sequence[Mapping[str, Any]],
    device: torch.device,
    group: Processes,
    reporter: ProgressReporter,
) -> Settings:
    """The settings with sizes, rate, dropout and length by ``training.defaults``, and a line of it.

    Args:
        splits: the text.
        settings: what is settled by now.
        tables: the tables of settings that they come from, which win.
        device: where to compute.
        group: the processes of the run.
        reporter: shows the line to a person.
    """
    budget = Budget(
        device.type,
        choose_precision(settings.precision, device),
        group.world_size * (torch.get_num_threads() if device.type == "cpu" else 1),
        settings.max_minutes,
        settings.epochs,
    )
    given = {name: value for table in tables for name, value in table.items()}
    tokens, vocab_size = len(splits.train), splits.tokenizer.vocab_size
    by_rule = choose_settings(tokens, vocab_size, settings.tokenizer, budget, given)
    chosen = Settings.merged(by_rule, *tables)
    reporter.print(describe_choice(tokens, asdict(chosen), budget))
    return chosen


def resume_training(
    folder: str | Path,
    *,
    reporter: ProgressReporter | None = None,
    callbacks: Sequence[Callback] = (),
) -> LanguageModel:
    """Resume a run that was interrupted or killed, from its last checkpoint.

    The weights at the end are those of a run without interruption, bit for bit, on the same CPU
    with the same number of threads, if the length is given in epochs.

    Args:
        folder: the model folder. Settings and text are found from what is beside it.
        reporter: shows the job to a person; by default nothing is shown.
        callbacks: told of the run's progress, after Carousel's own callbacks.

    Returns:
        The model with the best weights on validation.

    Raises:
        FolderError: the run has finished, there are no checkpoints, or they are damaged.
        TextError: the text is gone or has changed.
        TrainingError: the loss diverges again and again. The best model so far stays.
    """
    reporter = reporter or NoProgress()
    run = RunFolder(Path(folder))
    with init_process_group() as group:
        if group.rank > 0:
            return _train_as_worker(group)
        run.check_resumable()
        with run:
            record, tokenizer = run.read()
            device = prepare_device(record.settings, group)
            splits = reopen_splits(
                record.sources, record.settings, reporter, tokenizer, record.cached
            )
            _start_workers(group, record, tokenizer)
            return train_on_splits(splits, record, device, reporter, run, group, callbacks)


def _start_workers(group: Processes, record: RunRecord, tokenizer: Tokenizer) -> None:
    """Tell the other processes what to train. The tokenized text is in the cache by now."""
    group.broadcast_text(json.dumps([record.to_json(), tokenizer.to_json()]))
    group.barrier()


def _train_as_worker(group: Processes) -> LanguageModel:
    """Train as process 0 says, without showing or writing anything."""
    record_text, tokenizer_text = json.loads(group.broadcast_text(None))
    record = RunRecord.from_json(record_text, "the record of process 0")
    tokenizer = Tokenizer.from_json(tokenizer_text)
    device = prepare_device(record.settings, group)

    def reopen() -> Splits:
        return reopen_splits(
            record.sources, record.settings, NoProgress(), tokenizer, record.cached
        )

    if group.local_rank == 0:  # the first process of a machine fills the machine's cache
        splits = reopen()
        group.barrier()
    else:
        group.barrier()
        splits = reopen()
    return train_on_splits(splits, record, device, NoProgress(), None, group)


def train_on_splits(
    splits: Splits,
    record: RunRecord,
    device: torch.device,
    reporter: ProgressReporter,
    run: RunFolder | None,
    group: Processes | None = None,
    callbacks: Sequence[Callback] = (),
) -> LanguageModel:
    """Train on token ids, or resume if ``run`` has checkpoints.

    Args:
        splits: the token ids.
        record: what the run was started with.
        device: where to compute.
        reporter: shows the job to a person.
        run: the folder of the run; None to write nothing.
        group: the processes of the run.
        callbacks: told of the run's progress.
    """
    group = group or SingleProcess()
    settings = _fit_batch(record.settings, len(splits.train), group, reporter)
    note_small_text(splits, reporter)
    network = make_network(splits, settings, device, reporter, record.base_model)
    if record.base_model is not None:
        loss = measure_loss(network, splits.valid, device, bptt=settings.bptt, group=group)
        reporter.print(
            f"before fine-tuning: validation {loss:.4f} nats per token, "
            f"perplexity {math.exp(loss):.2f}"
        )
    store = None
    if run is not None:
        folder = run.model
        store = FileStore(run.path, reporter.print, lambda spec: read_weights_of(folder, spec))
    writer: ModelWriter | None = None
    writers: list[Callback] = []
    if run is not None:
        writer = ModelWriter(
            network, splits.tokenizer, settings, run.model, replaces=record.replaces
        )
        writers = [writer, LearningCurve(run.model)]
        if record.tensorboard:
            writers.append(TensorBoardWriter(run.model))
    outcome = fit(
        network,
        splits.train,
        splits.valid,
        settings,
        [*writers, reporter, *callbacks],
        device,
        store,
        group,
    )
    reporter.print(_describe_outcome(outcome, writer))
    interrupted = outcome.stop_reason == "interrupted"
    metrics = outcome.rows
    if group.rank == 0 and not interrupted:
        metrics = [*metrics, report_baselines(splits, outcome.best_loss, reporter)]
        if writer is not None:
            writer.add_row(metrics[-1])
    if splits.test is not None and not interrupted:
        loss = measure_loss(network, splits.test, device, bptt=settings.bptt, group=group)
        reporter.print(f"test: {loss:.4f} nats per token, perplexity {math.exp(loss):.2f}")
        if writer is not None:
            writer.add_row({"test_loss": loss, "test_perplexity": math.exp(loss)})
    if run is not None and not interrupted:
        run.remove()
    if writer is not None and writer.owns_folder:
        return LanguageModel.load(writer.folder)
    model = LanguageModel.from_weights(network.config, network.export(), splits.tokenizer)
    model.history = History.of_metrics(metrics)
    return model


def read_weights_of(folder: Path, spec: CheckpointSpec) -> dict[str, torch.Tensor]:
    """The weights of a model folder by their names in a checkpoint.

    Raises:
        FolderError: the folder is damaged, or its model is not the one of this run.
    """
    weights = dict(Network.from_folder(folder).named_parameters())
    if tensor_specs(weights) != spec.tensors:
        raise FolderError(f"{folder} holds another model than the one of this run")
    return {name: weight.detach() for name, weight in weights.items()}


def _describe_outcome(outcome: Outcome, writer: ModelWriter | None) -> str:
    """How a run ended, in a line."""
    best = outcome.best_loss
    reason = {
        "finished": "Done",
        "early": "Stopped early, as validation got no better",
        "interrupted": "Interrupted; the best model so far is kept",
    }[outcome.stop_reason]
    if math.isfinite(best):
        return f"{reason}: validation {best:.4f} nats per token, perplexity {math.exp(best):.2f}"
    if writer is None or writer.owns_folder:
        return f"{reason}: not validated yet"
    return f"Interrupted: not validated yet; what was in {writer.folder} is kept"


def _fit_batch(
    settings: Settings, tokens: int, group: Processes, reporter: ProgressReporter
) -> Settings:
    """Settings with fewer or shorter streams, if the text is too short for one whole batch.

    Raises:
        SettingsError: there are more processes than streams.
    """
    batch_size, bptt = settings.batch_size, settings.bptt
    if (tokens - 1) // batch_size < bptt:
        bptt = min(bptt, tokens - 1)
        batch_size = max(1, (tokens - 1) // bptt)
        reporter.print(
            f"too little text for a batch of {settings.batch_size} x {settings.bptt}: "
            f"it shrinks to {batch_size} x {bptt}"
        )
    if batch_size < group.world_size:
        raise SettingsError(
            f"a batch of {batch_size} streams can't be shared out to {group.world_size} "
            f"processes: start fewer, or give a larger batch_size"
        )
    return replace(settings, batch_size=batch_size, bptt=bptt)
