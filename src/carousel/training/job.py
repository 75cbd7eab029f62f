"""A training job: files in, a model folder out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from carousel.errors import SettingsError, TextError
from carousel.folder import Config, check_free, write_file, write_folder
from carousel.model import LanguageModel
from carousel.text.corpus import build_corpus
from carousel.text.reading import Tick, find_files, read_pieces
from carousel.text.tokenizer import Tokenizer, train_tokenizer
from carousel.training.loop import Outcome, Progress, fit, measure_loss
from carousel.training.network import Network
from carousel.training.settings import Settings, read_recipe

FEWEST_TOKENS = 8
"""With fewer tokens to train on there is nothing to learn."""


class Screen(Protocol):
    """What shows a job to a person."""

    def say(self, line: str) -> None:
        """Show one line for good."""

    def tick(self, what: str) -> Tick:
        """A progress bar over bytes, named ``what``."""

    def on_progress(self, progress: Progress) -> None:
        """Show where training stands."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Show a validation."""


class Silence:
    """The screen that shows nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def tick(self, what: str) -> Tick:
        """A bar that is not drawn."""
        return lambda done, total: None

    def on_progress(self, progress: Progress) -> None:
        """Nothing."""

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        """Nothing."""


class Texts:
    """The ids that a job trains, validates and tests on, and the tokenizer that made them."""

    def __init__(
        self, tokenizer: Tokenizer, train: np.ndarray, valid: np.ndarray, test: np.ndarray | None
    ) -> None:
        self.tokenizer, self.train, self.valid, self.test = tokenizer, train, valid, test


def train_model(
    sources: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    valid: Sequence[str | Path] = (),
    test: Sequence[str | Path] = (),
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    encoding_errors: str = "strict",
    tensorboard: bool = False,
    screen: Screen | None = None,
) -> LanguageModel:
    """Train a language model on text and return it; with ``out``, keep it in that folder.

    Args:
        sources: files, folders, globs, or ``-`` for standard input.
        out: the model folder to write; it holds the best model on validation at every moment.
        valid: files to validate on; else a share of the text's end is taken.
        test: files to test on when all is over; else a share of the text's end, if set.
        recipe: a TOML file of settings, or the name of one that comes with Carousel.
        settings: settings by name, which override the recipe's.
        force: replace a model that is in ``out``.
        encoding_errors: ``strict``, or ``replace`` to go on where bytes are not UTF-8.
        tensorboard: write TensorBoard logs beside ``out``.
        screen: what shows the job to a person; nothing by default.

    Raises:
        TextError, SettingsError, FolderError: each in one clear line; what was in ``out`` stays.
    """
    screen = screen or Silence()
    chosen = Settings.merged(read_recipe(recipe) if recipe else {}, settings or {})
    folder = None if out is None else Path(out)
    if folder is not None:
        check_free(folder, force=force)
    device = choose_device(chosen.device)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    texts = prepare_texts(sources, valid, test, chosen, screen, encoding_errors)
    return train_on(
        texts, chosen, device, screen, folder=folder, force=force, tensorboard=tensorboard
    )


def prepare_texts(
    sources: Sequence[str | Path],
    valid: Sequence[str | Path],
    test: Sequence[str | Path],
    settings: Settings,
    screen: Screen,
    encoding_errors: str = "strict",
) -> Texts:
    """Make the vocabulary from the part that trains, tokenize, and cut off what is held out."""
    files = find_files(sources)
    share_valid = 0.0 if valid else settings.valid_fraction
    share_test = 0.0 if test else settings.test_fraction
    if not valid and share_valid == 0:
        raise SettingsError("valid_fraction is 0 and no validation file is named: set one of them")

    def pieces(what: str) -> Iterator[str]:
        return read_pieces(files, encoding_errors=encoding_errors, tick=screen.tick(what))

    learned = pieces("reading")
    if share_valid + share_test > 0:
        # The held-out end must not decide which words are known.
        total = sum(map(len, pieces("measuring")))
        most = (1 - share_valid - share_test) * total
        learned = _first_characters(learned, most)
    tokenizer = train_tokenizer(
        settings.tokens,
        learned,
        lowercase=settings.lowercase,
        min_count=settings.min_count,
        vocab_size=settings.vocab_size,
    )

    def corpus(named: Sequence[Path], what: str) -> np.ndarray:
        made = build_corpus(
            named, tokenizer, encoding_errors=encoding_errors, tick=screen.tick(what)
        )
        return made.ids

    ids = corpus(files, "tokenizing")
    first_test = len(ids) - round(share_test * len(ids))
    first_valid = first_test - round(share_valid * len(ids))
    held = corpus(find_files(valid), "tokenizing") if valid else ids[first_valid:first_test]
    last: np.ndarray | None = None
    if test:
        last = corpus(find_files(test), "tokenizing")
    elif share_test:
        last = ids[first_test:]
    train = ids[: first_valid if not valid else first_test]
    for what, part in (("train", train), ("validate", held), ("test", last)):
        if part is not None and len(part) < (FEWEST_TOKENS if what == "train" else 2):
            raise TextError(
                f"too little text to {what} on: {len(part)} tokens, of which there must be "
                f"{FEWEST_TOKENS if what == 'train' else 2}"
            )
    return Texts(tokenizer, train, held, last)


def train_on(
    texts: Texts,
    settings: Settings,
    device: torch.device,
    screen: Screen,
    *,
    folder: Path | None = None,
    force: bool = False,
    tensorboard: bool = False,
) -> LanguageModel:
    """Train on ids that are at hand; see ``train_model``."""
    tokenizer = texts.tokenizer
    settings = _fit_batch(settings, len(texts.train), screen)
    projection = settings.projection_size
    if settings.tied and not projection and settings.embedding_size != settings.hidden_size:
        projection = settings.embedding_size
        screen.say(
            f"tied weights: a projection from {settings.hidden_size} to "
            f"{settings.embedding_size} goes before the decoder"
        )
    config = Config(
        cell=settings.cell,
        vocab_size=tokenizer.vocab_size,
        embedding_size=settings.embedding_size,
        hidden_size=settings.hidden_size,
        layers=settings.layers,
        tied=settings.tied,
        projection_size=projection,
    )
    torch.manual_seed(settings.seed)
    network = Network(config, settings.dropout).to(device)
    network.precision = choose_precision(settings.precision, device)
    screen.say(
        f"{config.parameters:,} parameters, {tokenizer.vocab_size:,} kinds of tokens, "
        f"{len(texts.train):,} tokens to train on, {network.precision} on {device}"
    )
    keeper = _Keeper(network, tokenizer, settings, screen, folder, force, tensorboard)
    outcome = fit(network, texts.train, texts.valid, settings, keeper, device)
    keeper.finish(outcome)
    if texts.test is not None and outcome.stopped != "interrupted":
        loss = measure_loss(network, texts.test, device, bptt=settings.bptt)
        screen.say(f"test: {loss:.4f} nats per token, perplexity {math.exp(loss):.2f}")
        keeper.rows.append({"test_loss": loss, "test_perplexity": math.exp(loss)})
    keeper.close()
    if folder is not None:
        return LanguageModel.load(folder)
    return LanguageModel(config, network.export(), tokenizer)


def choose_device(name: str) -> torch.device:
    """The device to train on; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        SettingsError: the named device is not in this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[name]:
        raise SettingsError(f"device {name} is not in this machine: use --device auto or cpu")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> str:
    """``auto`` is bfloat16 where the device multiplies it faster than float32."""
    if name != "auto":
        return name
    if device.type == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if fast else "float32"


class _Keeper:
    """Watches a run for its folder: metrics, the best model so far, the learning curve."""

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        settings: Settings,
        screen: Screen,
        folder: Path | None,
        force: bool,
        tensorboard: bool,
    ) -> None:
        self.network, self.tokenizer, self.settings = network, tokenizer, settings
        self.screen, self.folder, self.force = screen, folder, force
        self.rows: list[dict[str, Any]] = []
        self.kept = False
        self.board = _open_board(folder) if tensorboard and folder else None

    def on_progress(self, progress: Progress) -> None:
        self.screen.on_progress(progress)

    def on_validation(self, progress: Progress, *, best: bool) -> None:
        row = progress.row()
        self.rows.append(row)
        if self.board is not None:
            for name in ("train_loss", "valid_loss", "learning_rate", "tokens_per_second"):
                self.board.add_scalar(name, row[name], progress.step)
        if best:
            self.keep()
        elif self.kept:
            self.write_metrics()
        self.screen.on_validation(progress, best=best)

    def keep(self) -> None:
        """The network as it is now becomes the folder's model."""
        if self.folder is None:
            return
        write_folder(
            self.folder,
            self.network.config,
            self.network.export(),
            self.tokenizer,
            extra={"recipe.toml": self.settings.to_toml(), "metrics.jsonl": self.lines()},
            force=self.force or self.kept,
        )
        self.kept = True

    def finish(self, outcome: Outcome) -> None:
        best = outcome.best_loss
        if not math.isfinite(best):
            # Interrupted before the first validation: the weights as they are beat none at all.
            self.keep()
            measured = "not validated yet"
        else:
            measured = f"validation {best:.4f} nats per token, perplexity {math.exp(best):.2f}"
        why = {
            "finished": "Done",
            "early": "Stopped early, as validation got no better",
            "interrupted": "Interrupted; the best model so far is kept",
        }[outcome.stopped]
        self.screen.say(f"{why}: {measured}")

    def close(self) -> None:
        if self.folder is None:
            return
        self.write_metrics()
        if self.board is not None:
            self.board.close()
        rows = [row for row in self.rows if "valid_loss" in row]
        if rows:
            from carousel.draw.figure import learning_curve

            learning_curve(rows, self.folder / "learning-curve.png")

    def write_metrics(self) -> None:
        if self.folder is not None:
            write_file(self.folder / "metrics.jsonl", self.lines())

    def lines(self) -> str:
        return "".join(json.dumps(row) + "\n" for row in self.rows)


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingsError(
            "TensorBoard is not installed: pip install 'carousel-lstm[tensorboard]'"
        ) from None
    # Beside the model folder, which is replaced as a whole with each better model.
    return SummaryWriter(folder.with_name(folder.name + ".tensorboard"))


def _fit_batch(settings: Settings, tokens: int, screen: Screen) -> Settings:
    """Fewer or shorter streams where the text is too short for one whole batch."""
    batch, bptt = settings.batch, settings.bptt
    if (tokens - 1) // batch >= bptt:
        return settings
    bptt = min(bptt, tokens - 1)
    batch = max(1, (tokens - 1) // bptt)
    screen.say(
        f"too little text for a batch of {settings.batch} x {settings.bptt}: "
        f"it shrinks to {batch} x {bptt}"
    )
    return replace(settings, batch=batch, bptt=bptt)


def _first_characters(pieces: Iterator[str], most: float) -> Iterator[str]:
    """The lines up to ``most`` characters, the one that reaches it included."""
    left = most
    for piece in pieces:
        if len(piece) >= left:
            end = piece.find("\n", max(0, math.ceil(left) - 1)) + 1
            yield piece[: end or len(piece)]
            break
        yield piece
        left -= len(piece)
