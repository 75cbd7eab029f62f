"""The prompt of ``carousel predict``: suggestions follow as one types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import FormattedText

from carousel.cli.predictions import open_session
from carousel.model import LanguageModel
from carousel.predict.next_words import Prediction
from carousel.text.printable import printable_word
from carousel.text.unknown_words import find_unknown_words


class Suggester:
    """Keeps a session at the last whole word, so that each keystroke reads at most one more.

    Args:
        model: the model. If it adapts, a line goes on from the lines before it; else each line is a
            text of its own.
        k: how many words to suggest.
        session_file: where a session is kept; lines go on from it then.
        bad_words: words that are never suggested.
    """

    def __init__(
        self,
        model: LanguageModel,
        k: int,
        session_file: Path | None = None,
        bad_words: Sequence[str] = (),
    ) -> None:
        self.model, self.k, self.session_file = model, k, session_file
        self.line_start = open_session(model, session_file, bad_words)
        """A session at the start of the line that is typed."""
        self.session = self.line_start.copy()
        self.read = ""
        """The text that the session has read."""

    def suggest(self, text: str) -> tuple[list[Prediction], str]:
        """Return the suggestions for a text, and the unfinished word that they continue."""
        before, prefix = self.model.tokenizer.split_prefix(text)
        if not before.startswith(self.read):
            self.session = self.line_start.copy()
            self.read = ""
        if len(before) > len(self.read):
            self.session.feed(before[len(self.read) :])
            self.read = before
        return self.session.next_words(self.k, prefix or None, complete=True), prefix

    def enter(self, line: str) -> None:
        """Take a line that is finished; the next one begins."""
        if self.session_file is not None or self.model.model.backend.context != 0:
            self.line_start.feed(line + "\n")
        if self.session_file is not None:
            self.line_start.save(self.session_file)
        self.session, self.read = self.line_start.copy(), ""

    def describe(self, text: str) -> FormattedText:
        """Return the line under the prompt: suggestions with their shares, and unknown words."""
        predictions, _ = self.suggest(text)
        parts: list[tuple[str, str]] = []
        for word, probability in predictions:
            parts += [("bold", printable_word(word)), ("", f" {probability:.0%}   ")]
        if not predictions:
            parts.append(("", "no known word starts so   "))
        unknown = find_unknown_words(self.model.tokenizer, self.read)
        if unknown:
            words = ", ".join(dict.fromkeys(printable_word(word.word) for word in unknown))
            parts.append(("", f"(not known: {words})"))
        return FormattedText(parts)


class SuggestionCompleter(Completer):
    """Offers a suggester's words to prompt_toolkit."""

    def __init__(self, suggester: Suggester) -> None:
        self.suggester = suggester

    def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
        """Yield the words that may follow or complete the text before the cursor."""
        predictions, prefix = self.suggester.suggest(document.text_before_cursor)
        for word, probability in predictions:
            shown = printable_word(word)
            yield Completion(
                shown + " ",
                -len(prefix),
                display=FormattedText([("", shown)]),
                display_meta=f"{probability:.1%}",
            )


def run_prompt(
    model: LanguageModel, k: int, session_file: Path | None = None, bad_words: Sequence[str] = ()
) -> None:
    """Read lines until Ctrl-D; Tab takes a suggestion. ``bad_words`` are never suggested."""
    suggester = Suggester(model, k, session_file, bad_words)
    prompt: PromptSession[str] = PromptSession(
        completer=SuggestionCompleter(suggester),
        complete_while_typing=False,
        bottom_toolbar=lambda: suggester.describe(
            prompt.default_buffer.document.text_before_cursor
        ),
    )
    print(f"{model!r}\nType; Tab takes a suggestion, Ctrl-D ends.")
    while True:
        try:
            suggester.enter(prompt.prompt("> "))
        except (EOFError, KeyboardInterrupt):
            return
