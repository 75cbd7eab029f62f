"""A trace: every gate, cell and hidden state at every word, and the next-word distribution."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from carousel.errors import FolderError, LensError
from carousel.inference.model import RecurrentLM
from carousel.lens.display import NotebookDisplay
from carousel.lens.names import DERIVED, cell_of, find_full_name, find_name, full_names
from carousel.predict.next_words import Prediction
from carousel.softmax import softmax
from carousel.storage.atomic import write_file
from carousel.storage.config import LINE_END_ID, Config
from carousel.storage.regular_file import check_regular
from carousel.storage.strict_json import parse_json
from carousel.text.token_span import TokenSpan, find_token_spans
from carousel.text.tokenizer import END_OF_LINE, Tokenizer

if TYPE_CHECKING:
    from carousel.lens.belt import Belt

LINE_START = "⏎"
"""How the line end that every text is read after is shown: the first position of a trace."""


class Trace(NotebookDisplay):
    """What a model did at each word of one text.

    ``trace["layers.0.f"]``, ``trace["layers.0.forget"]``, ``trace["f", 0]`` or, for one layer,
    ``trace["forget"]`` are arrays ``[T, H]``, as they came out of the nonlinearity. Position 0 is
    the line start that every text is read after, from a zero state.
    """

    def __init__(
        self,
        config: Config,
        words: Sequence[str],
        ids: np.ndarray,
        values: dict[str, np.ndarray],
        logits: np.ndarray | None,
        model: RecurrentLM | None = None,
        tokenizer: Tokenizer | None = None,
        text: str | None = None,
        tokens: Sequence[TokenSpan] | None = None,
    ) -> None:
        self.config = config
        self.words = list(words)
        """The tokens as text, ``T`` of them; the first is the line start, ``⏎``."""
        self.ids = ids
        """The token ids ``[T]``."""
        self.values = values
        """What was recorded, by point: ``[T, H]`` each."""
        self.logits = logits
        """``[T, V]``: of the word after each word; None where not asked for."""
        self.model = model
        """The model that made it, for what needs its decoder; None for a loaded trace."""
        self.tokenizer = tokenizer
        """The model's tokenizer; None for a loaded trace."""
        self.text = text
        """The text as it was given; None for a trace that was put together from others."""
        self._tokens = None if tokens is None else list(tokens)

    @property
    def tokens(self) -> list[TokenSpan]:
        """The ``T`` tokens: what was typed, where it starts and ends, and whether it is known.

        The first one is the line start, which nobody typed: its ``typed`` is empty.

        Raises:
            LensError: the trace was made without its text.

        >>> import carousel
        >>> trace = carousel.load().trace("krish likes Sushi")
        >>> trace.tokens[3]
        TokenSpan(typed='Sushi', start=12, end=17, known=False)
        >>> trace.words[3]
        '<unk>'
        """
        if self._tokens is None:
            if self.text is None or self.tokenizer is None:
                raise LensError("this trace does not know its text")
            spans = find_token_spans(self.tokenizer, self.text)
            self._tokens = [TokenSpan("", 0, 0, True), *spans][: len(self)]
        return self._tokens

    @property
    def knows_text(self) -> bool:
        """Whether ``tokens`` can be told."""
        return self._tokens is not None or (self.text is not None and self.tokenizer is not None)

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"Trace({self.config.cell}, {len(self)} words: {' '.join(self.words[:8])!r})"

    def __getitem__(self, name: str | tuple[str, int]) -> np.ndarray:
        """``[T, H]`` of a point, by its short or long name; ``keep`` and ``write`` too.

        Raises:
            LensError: no such point, or one that was not recorded.
        """
        full_name = find_full_name(self.config, name)
        if full_name in self.values:
            return self.values[full_name]
        layer, short = full_name.removeprefix("layers.").split(".")
        if short not in DERIVED:
            raise LensError(f"{full_name} was not recorded; there are {', '.join(self.values)}")
        cell = cell_of(self.config)
        if short == "keep":
            kept: np.ndarray = self.kept(int(layer)) * self._before(int(layer))
            return kept
        written: np.ndarray = cell.written({gate: self[gate, int(layer)] for gate in cell.gates})
        return written

    def kept(self, layer: int) -> np.ndarray:
        """``[T, H]``: the share of the memory that each word kept (``f``; GRU ``z``).

        Where each line is a text of its own, the end of a line keeps nothing.
        """
        gate = cell_of(self.config).keep_gate
        if gate is None:
            raise LensError("a plain RNN keeps nothing: its state is made anew at every word")
        kept = self[gate, layer]
        if self.config.carry_state:
            return kept
        return np.where(self.ids[:, None] == LINE_END_ID, np.float32(0), kept)

    def _before(self, layer: int) -> np.ndarray:
        memory = self[cell_of(self.config).memory, layer]
        return np.concatenate([np.zeros_like(memory[:1]), memory[:-1]])

    @property
    def probabilities(self) -> np.ndarray:
        """``[T, V]``: of the word after each word.

        Raises:
            LensError: the trace was made without them.
        """
        return softmax(self._logits())

    def next_words(self, k: int = 3) -> list[list[Prediction]]:
        """The ``k`` likeliest tokens after each word.

        Raises:
            LensError: the trace was made without the distribution.
        """
        if self.tokenizer is None:
            raise LensError("a loaded trace has no vocabulary: give load() the model")
        tokens = self.tokenizer.tokens()
        predictions = []
        for row in self.probabilities:
            best = np.argsort(-row, kind="stable")[:k]
            predictions.append([Prediction(show_token(tokens[i]), float(row[i])) for i in best])
        return predictions

    def belt(self, layer: int = -1) -> Belt:
        """The exact account of a layer's memory; see ``lens.belt``."""
        from carousel.lens.belt import Belt

        return Belt(self, layer)

    def to_dataframe(self) -> Any:
        """A pandas table: position, word, layer, name, unit, value.

        Raises:
            LensError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise LensError("pandas is not installed: pip install pandas") from None
        T = len(self)
        frames = []
        for point, values in self.values.items():
            _, layer, name = point.split(".")
            H = values.shape[1]
            frames.append(
                pandas.DataFrame(
                    {
                        "position": np.repeat(np.arange(T), H),
                        "word": np.repeat(np.array(self.words, dtype=object), H),
                        "layer": int(layer),
                        "name": name,
                        "unit": np.tile(np.arange(H), T),
                        "value": values.ravel(),
                    }
                )
            )
        return pandas.concat(frames, ignore_index=True)

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file, whole or not at all.

        Raises:
            FolderError: it can't be written.
        """
        from safetensors.numpy import save

        arrays = dict(self.values) | {"ids": self.ids}
        if self.logits is not None:
            arrays["logits"] = self.logits
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        about = {"config": self.config.to_json(), "words": json.dumps(self.words)}
        if self.text is not None and self.knows_text:
            spans = [[token.start, token.end, token.known] for token in self.tokens]
            about |= {"text": self.text, "tokens": json.dumps(spans)}
        write_file(path, save(contiguous, metadata={"carousel": "trace", **about}))

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: RecurrentLM | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> Trace:
        """Read what ``save`` wrote; every name, type and shape is checked.

        Args:
            path: the file.
            model: the model that made the trace, for what needs its decoder.
            tokenizer: its tokenizer, for what needs the vocabulary.

        Raises:
            FolderError: not there, damaged, or no trace.
        """
        from safetensors import SafetensorError, safe_open

        try:
            check_regular(path)
            with safe_open(str(path), framework="np") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise FolderError(f"{path} can't be read as a trace: {error}") from None
        if about.get("carousel") != "trace":
            raise FolderError(f"{path} is a safetensors file, but not a trace")
        config = Config.from_json(about.get("config", ""), str(path))
        words = parse_json(about.get("words", ""), f"{path}: words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise FolderError(f"{path}: its words are not a list of words")
        T = len(words)
        wanted = {
            "ids": (T,),
            "logits": (T, config.vocab_size),
            **dict.fromkeys(full_names(config), (T, config.hidden_size)),
        }
        for name, array in arrays.items():
            if array.dtype != (np.int64 if name == "ids" else np.float32):
                raise FolderError(f"{path}: {name} is of type {array.dtype}, not of a trace's")
            if wanted.get(name) != array.shape:
                raise FolderError(f"{path}: {name} {array.shape} does not belong in this trace")
        if "ids" not in arrays:
            raise FolderError(f"{path}: ids are missing")
        ids, logits = arrays.pop("ids"), arrays.pop("logits", None)
        text, tokens = _parse_tokens(about, T, path)
        return cls(config, words, ids, arrays, logits, model, tokenizer, text, tokens)

    def _logits(self) -> np.ndarray:
        if self.logits is None:
            raise LensError("this trace was made without the distribution: logits=True keeps it")
        return self.logits


def trace_text(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    text: str,
    *,
    only: Sequence[str] | None = None,
    logits: bool = True,
) -> Trace:
    """Read one text and record what happens; see ``trace_texts``."""
    return trace_texts(model, tokenizer, [text], only=only, logits=logits)[0]


def trace_texts(
    model: RecurrentLM,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    only: Sequence[str] | None = None,
    logits: bool = True,
) -> list[Trace]:
    """Read texts side by side and record what happens at each word.

    Args:
        model: the model; one that is held by clamps is traced as it is held.
        tokenizer: its tokenizer.
        texts: the texts, of any lengths.
        only: the names or points to record (``["forget", "layers.1.c"]``): nothing else takes
            memory. All by default.
        logits: keep the next-word distribution, ``[T, V]``.

    Raises:
        LensError: an unknown name.
    """
    rows = [[tokenizer.eol_id, *tokenizer.encode(text)] for text in texts]
    if not rows:
        return []
    T, B = max(map(len, rows)), len(rows)
    ids = np.full((T, B), tokenizer.eol_id, dtype=np.int64)
    for column, row in enumerate(rows):
        ids[: len(row), column] = row
    wanted = _wanted(model.config, only)
    reading = model.read(ids, model.initial_state(B), wanted)
    tokens = tokenizer.tokens()
    traces = []
    for column, row in enumerate(rows):
        # A shorter text's values up to its end don't know of the padding after it.
        n = len(row)
        words = [LINE_START, *(show_token(tokens[i]) for i in row[1:])]
        values = {
            name: np.ascontiguousarray(array[:n, column]) for name, array in reading.values.items()
        }
        scores = model.logits(reading.hidden[:n, column]) if logits else None
        id_row = np.array(row, dtype=np.int64)
        text = texts[column]
        traces.append(Trace(model.config, words, id_row, values, scores, model, tokenizer, text))
    return traces


def _parse_tokens(
    about: dict[str, str], T: int, path: str | Path
) -> tuple[str | None, list[TokenSpan] | None]:
    """The text of a saved trace and its ``T`` tokens; both None in files without them."""
    if "text" not in about or "tokens" not in about:
        return None, None
    text, table = about["text"], parse_json(about["tokens"], f"{path}: tokens")
    spans = table if isinstance(table, list) else []
    if len(spans) != T or not all(_is_span(span, len(text)) for span in spans):
        raise FolderError(f"{path}: its tokens are not {T} places in its text")
    return text, [TokenSpan(text[start:end], start, end, known) for start, end, known in spans]


def _is_span(span: Any, length: int) -> bool:
    return (
        isinstance(span, list)
        and [type(part) for part in span] == [int, int, bool]
        and 0 <= span[0] <= span[1] <= length
    )


def show_token(token: str) -> str:
    """A token as it is shown: the line's end as ``⏎``."""
    return LINE_START if token in (END_OF_LINE, "\n") else token


def _wanted(config: Config, only: Sequence[str] | None) -> list[str]:
    names = full_names(config)
    if only is None:
        return names
    chosen: set[str] = set()
    for name in [only] if isinstance(only, str) else only:
        if name.startswith("layers."):
            chosen.add(find_full_name(config, name))
        else:
            short = find_name(config, name)
            chosen |= {full for full in names if full.endswith(f".{short}")}
    return [full for full in names if full in chosen]
