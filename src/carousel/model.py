"""The front door: a language model with its tokenizer, text in and words out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.evaluate import Evaluation, evaluate
from carousel.explain.history import History
from carousel.inference.model import BackendName, RecurrentLM
from carousel.pretrained import find_folder
from carousel.storage.config import Config
from carousel.storage.model_folder import read_folder, write_folder
from carousel.storage.number_formats import StoredWeight
from carousel.text.files import ProgressCallback, find_files
from carousel.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from carousel.adaptation.adapted import Adapt
    from carousel.lens.clamp import Clamp
    from carousel.lens.compare import Comparison
    from carousel.lens.effect import Effect
    from carousel.lens.sweep import Sweep
    from carousel.lens.trace import Trace
    from carousel.predict.next_words import Prediction
    from carousel.predict.score import Score
    from carousel.predict.session import Session
    from carousel.web.live_page import LivePage


class LanguageModel:
    """A model that reads text and predicts words.

    Every text is read as if a line had just ended, as the first word of a line was met in training.

    Args:
        model: the recurrent network.
        tokenizer: what cuts text into its tokens.
        path: the folder that it came from, if any.

    >>> import carousel
    >>> model = carousel.load("stories-lstm")
    >>> model.next_words("krish likes pizza so he orders", k=1)[0].word
    'pizza'
    """

    def __init__(self, model: RecurrentLM, tokenizer: Tokenizer, path: Path | None = None) -> None:
        self.model = model
        """The recurrent network: arrays in, arrays out."""
        self.tokenizer = tokenizer
        self.path = path

    @classmethod
    def from_weights(
        cls, config: Config, weights: Mapping[str, StoredWeight], tokenizer: Tokenizer
    ) -> LanguageModel:
        """A model of weights that are at hand, by their names on disk (see docs/folder.md)."""
        return cls(RecurrentLM(config, weights), tokenizer)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        backend: BackendName = "auto",
        threads: int | None = 1,
        mmap: bool = True,
    ) -> LanguageModel:
        """The model in a folder, or one that comes with the package, by name.

        Args:
            path: a model folder; ``english``, ``stories-rnn``, ``stories-gru`` or
                ``stories-lstm``; None for the last of these.
            backend: ``"engine"`` for the C++ kernels, ``"numpy"`` for NumPy, ``"auto"`` for the
                kernels where they are on this machine.
            threads: how many threads may share a product; None for as many as there are cores,
                where that is faster.
            mmap: map the weights' file, as ``read_folder`` says; False copies it into memory.

        Raises:
            FolderError: no model there, or a damaged or mixed one.
            EngineError: an unknown backend.
        """
        content = read_folder(find_folder(path), mmap=mmap)
        model = RecurrentLM(content.config, content.weights, backend=backend, threads=threads)
        return cls(model, content.tokenizer, content.path)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a model folder, whole or not at all; weights keep their number format.

        Args:
            path: the folder to write.
            force: replace a model that is there.

        Raises:
            FolderError: a model is there and ``force`` is off, or it can't be written.
        """
        weights = {name: self.model.stored[name] for name in self.config.weight_shapes()}
        write_folder(path, self.config, weights, self.tokenizer, force=force)

    def __repr__(self) -> str:
        return repr(self.model).replace("RecurrentLM", "LanguageModel", 1)

    @property
    def config(self) -> Config:
        """The shape of the model."""
        return self.model.config

    @cached_property
    def history(self) -> History:
        """How its training went, from the model's folder; a notebook draws learning curves."""
        return History([]) if self.path is None else History.of_folder(self.path)

    def next_words(
        self,
        text: str,
        k: int = 5,
        prefix: str | None = None,
        *,
        complete: bool = False,
        window: int | None = None,
        bad_words: Sequence[str] = (),
    ) -> list[Prediction]:
        """The ``k`` likeliest next words after ``text`` and their probabilities, best first.

        Args:
            text: all the words so far; empty for the start of a line.
            k: how many words; fewer are given where there are fewer.
            prefix: the word being typed: only words that start so, with their probabilities among
                these.
            complete: take the half-typed word at the end of ``text`` as the prefix.
            window: read only so many tokens, the last ones, filled up on the left, as Keras does.
            bad_words: words that are never given, in lower or upper case.

        Raises:
            PredictionError: ``k`` is below 1, or no word of the text is known.
        """
        from carousel.predict.next_words import predict_next

        return predict_next(
            self.model,
            self.tokenizer,
            text,
            k,
            prefix,
            complete=complete,
            window=window,
            bad_words=bad_words,
        )

    def generate(self, text: str = "", **settings: Any) -> str:
        """``text`` continued; the arguments are those of ``stream``."""
        return text + "".join(self.stream(text, **settings))

    def generate_batch(self, texts: Sequence[str], **settings: Any) -> list[list[str]]:
        """Continuations of several texts, stepped together; see ``predict.generation``."""
        from carousel.predict.generation import generate_batch

        return generate_batch(self.model, self.tokenizer, texts, **settings)

    def stream(self, text: str = "", **settings: Any) -> Iterator[str]:
        """Continue ``text`` piece by piece; the pieces joined to ``text`` are the whole.

        Args:
            text: what to continue; empty for the start of a line.
            settings: all of these by name.
            max_tokens: the most tokens to add; 50.
            temperature: logits are divided by it; 0 takes the likeliest token always.
            top_k: sample among the ``k`` likeliest only; 0 for all.
            top_p: sample among the fewest likeliest tokens that together have this probability
                (Holtzman et al. 2020, arXiv:1904.09751, section 3.1).
            repetition_penalty: above 1, tokens that the text holds become less likely (Keskar et
                al. 2019, arXiv:1909.05858, section 4.1).
            no_repeat_ngram_size: no so many tokens in a row come up twice; 0 turns this off.
            num_beams: above 1, beam search over so many texts, and nothing is sampled.
            seed: the same seed gives the same text.
            stop: generation ends before the first of these that comes up.
            bad_words: words that are never generated, in lower or upper case.

        Raises:
            SettingsError: a setting out of its range.
            PredictionError: no word of the text is known.
        """
        from carousel.predict.generation import generate

        return generate(self.model, self.tokenizer, text, **settings)

    def score(self, text: str) -> Score:
        """How likely ``text`` is: the log-probability of each of its tokens, and of its end.

        Raises:
            PredictionError: the text is empty.
        """
        from carousel.predict.score import score_text

        return score_text(self.model, self.tokenizer, text)

    def adapt(self, adapt: Adapt | None) -> LanguageModel:
        """A model of the same weights that adapts to what it reads. It learns in its state alone.

        Args:
            adapt: ``"cache"`` remembers the last words; ``"dynamic"`` learns, which takes PyTorch.
                Their parameters are those that ``carousel tune`` keeps in the folder, or those
                that are given in the name's place. None for the model as it is.

        Raises:
            SettingsError: another name, or PyTorch is missing.
        """
        from carousel.adaptation.adapted import adapt_model

        if adapt is None:
            return self
        return LanguageModel(adapt_model(self.model, adapt, self.path), self.tokenizer, self.path)

    def session(self, adapt: Adapt | None = None, *, bad_words: Sequence[str] = ()) -> Session:
        """A session that keeps the state; it adapts to what it reads as ``adapt`` says."""
        from carousel.predict.session import Session

        return Session(self.adapt(adapt).model, self.tokenizer, bad_words=bad_words)

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path],
        *,
        encoding: str = "utf-8",
        encoding_errors: str = "strict",
        skip_bad_files: bool = False,
        baseline: str | Path | Sequence[str | Path] = (),
        adapt: Adapt | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Evaluation:
        """Perplexity, recall of the next word and keystrokes saved on text files.

        Args:
            sources: files, folders, globs, or ``-`` for standard input.
            encoding: the files' encoding; UTF-16 and UTF-32 are known by their marks, too.
            encoding_errors: ``strict``, or ``replace`` for U+FFFD where bytes can't be read.
            skip_bad_files: go on without the files that can't be read as text, with a warning.
            baseline: the text that the model was trained on: a unigram and a 5-gram of it compare.
            adapt: as for ``adapt``: how the model adapts to the text while it reads it.
            on_progress: ``on_progress(done, total)`` counts tokens.

        Raises:
            TextError: a file can't be read, or has only unknown words.
        """
        model = self.adapt(adapt).model
        reading: Any = {"encoding": encoding, "encoding_errors": encoding_errors}
        files = find_files(sources, skip_bad_files=skip_bad_files, **reading)
        reading["baseline"] = find_files(baseline, **reading) if baseline else ()
        return evaluate(model, self.tokenizer, files, on_progress=on_progress, **reading)

    def trace(self, text: str, *, only: Sequence[str] | None = None, logits: bool = True) -> Trace:
        """Every gate, cell and hidden state at every word of ``text``.

        Args:
            text: the text.
            only: names of what to record, like ``["forget", "layers.1.c"]``; all by default.
            logits: keep the next-word distribution after each word.

        Raises:
            LensError: an unknown name.
        """
        from carousel.explain.notebook import show_in_notebooks
        from carousel.lens.trace import trace_text

        show_in_notebooks()
        return trace_text(self.model, self.tokenizer, text, only=only, logits=logits)

    @contextmanager
    def clamp(
        self,
        name: str | Clamp | Sequence[Clamp],
        value: float | Sequence[float] | np.ndarray | None = None,
        *,
        layer: int | None = None,
        at: str | int | Sequence[str | int] | None = None,
        units: Sequence[int] | None = None,
    ) -> Iterator[LanguageModel]:
        """Hold a gate, as a context; the model itself stays as it is.

        Args:
            name: a gate or state that is set to ``value``; or one clamp or several that say what
                is done (``Clamp.scale("forget", 0.5, at="friend")``), with nothing else given.
            value: a number, or one for each unit.
            layer: the layer; None for all.
            at: words, positions (0 is the line start) or ranges of them; None for every word.
            units: which units; None for all.

        Yields:
            a model of the same weights, under the clamps.

        Raises:
            LensError: a gate, layer, unit or word that does not exist; it lists what does.

        Warns:
            UntouchedWarning: at the end, for a clamp that changed nothing.

        >>> import carousel
        >>> model = carousel.load("stories-lstm")
        >>> with model.clamp("forget", 1.0, at="friend", units=[3, 7]) as held:
        ...     words = held.next_words("krish likes pizza but his friend")
        """
        from carousel.lens.clamp import Clamp, hold

        if isinstance(name, str):
            clamps = [Clamp.set(name, value, layer=layer, at=at, units=units)]  # type: ignore[arg-type]
        else:
            clamps = [name] if isinstance(name, Clamp) else list(name)
        with hold(self.model, self.tokenizer, *clamps) as held:
            yield LanguageModel(held, self.tokenizer, self.path)

    def effect(
        self,
        text: str,
        clamp: Clamp | str | Sequence[Clamp | str],
        *,
        compare: tuple[str, str] | None = None,
        k: int = 5,
    ) -> Effect:
        """The prediction after ``text``, as it is and under clamps.

        Args:
            text: the text.
            clamp: one clamp or several; as text, ``"forget=1@friend"``.
            compare: two words whose difference in logits is measured.
            k: how many changed words to list.

        Raises:
            LensError: a word that is not in the text, or a gate, layer or unit that is not there.

        Warns:
            UntouchedWarning: for a clamp that changed nothing.
        """
        from carousel.explain.notebook import show_in_notebooks
        from carousel.lens.effect import measure_effect

        show_in_notebooks()
        return measure_effect(self.model, self.tokenizer, text, clamp, compare=compare, k=k)

    def sweep(
        self,
        text: str,
        clamp: Clamp | str,
        values: Sequence[float] | np.ndarray,
        *,
        compare: tuple[str, str] | None = None,
    ) -> Sweep:
        """The prediction after ``text`` under many values of one clamp, all read side by side.

        Args:
            text: the text.
            clamp: a clamp that sets, scales, or moves a gate toward a target.
            values: what takes the place of its value, or of its strength where it moves a gate.
            compare: two words whose difference in logits is measured.

        Raises:
            LensError: as ``effect``, or another kind of clamp.
        """
        from carousel.lens.sweep import sweep_clamp

        return sweep_clamp(self.model, self.tokenizer, text, clamp, values, compare=compare)

    def compare(self, first: str, second: str) -> Comparison:
        """Two texts aligned word by word, and where their gates part ways."""
        from carousel.explain.notebook import show_in_notebooks
        from carousel.lens.compare import compare_texts

        show_in_notebooks()
        return compare_texts(self.model, self.tokenizer, first, second)

    def page(
        self,
        text: str,
        *,
        other: str = "",
        clamps: Sequence[str] = (),
        compare: tuple[str, str] | None = None,
    ) -> LivePage:
        """The page as one HTML file with this model inside, opened on ``text``.

        Args:
            text: what the page reads first.
            other: a second text to compare it with.
            clamps: gates that are held, like ``"forget=1@5-8"``.
            compare: two next words that are weighed against each other.

        Raises:
            LensError: a clamp that the page can't hold.
        """
        from carousel.web.live_page import LivePage

        name = "model" if self.path is None else self.path.resolve().name
        shown = {"other": other, "clamps": clamps, "compare": compare}
        return LivePage.of(self.model, self.tokenizer, text, name=name, **shown)  # type: ignore[arg-type]
