"""The prompt of ``carousel predict``: suggestions follow as one types."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import HTML

from carousel.model import LanguageModel
from carousel.predict.next_words import Prediction
from carousel.predict.session import Session


class Suggester:
    """Keeps a session at the last whole word, so that each keystroke reads at most one more."""

    def __init__(self, model: LanguageModel, k: int) -> None:
        self.model, self.k = model, min(k, max(1, model.config.vocab_size - 2))
        self.session = Session(model)
        self.read = ""

    def suggest(self, text: str) -> tuple[list[Prediction], str]:
        """The suggestions for a text, and the half-typed word that they continue."""
        before, prefix = self.model.tokenizer.split_prefix(text)
        if not before.startswith(self.read):
            self.session.reset()
            self.read = ""
        if len(before) > len(self.read):
            self.session.feed(before[len(self.read) :])
            self.read = before
        if self.model.tokenizer.kind in ("words", "whitespace"):
            known = int(self.model.word_mask.sum())
            return self.session.next_words(min(self.k, known), prefix or None), prefix
        return self.session.next_words(self.k, prefix or None), prefix


class _Completer(Completer):
    def __init__(self, suggester: Suggester) -> None:
        self.suggester = suggester

    def get_completions(self, document: Document, complete_event: Any) -> Iterator[Completion]:
        found, prefix = self.suggester.suggest(document.text_before_cursor)
        for word, probability in found:
            yield Completion(
                word + " ", -len(prefix), display=word, display_meta=f"{probability:.1%}"
            )


def run_prompt(model: LanguageModel, k: int) -> None:
    """Read lines until Ctrl-D; Tab takes a suggestion."""
    suggester = Suggester(model, k)

    def toolbar() -> HTML:
        text = prompt.default_buffer.document.text_before_cursor
        found, _ = suggester.suggest(text)
        shown = "   ".join(f"<b>{escape(word)}</b> {p:.0%}" for word, p in found)
        return HTML(shown or "no known word starts so")

    prompt: PromptSession[str] = PromptSession(
        completer=_Completer(suggester), complete_while_typing=False, bottom_toolbar=toolbar
    )
    print(f"{model!r}\nType; Tab takes a suggestion, Ctrl-D ends.")
    while True:
        try:
            prompt.prompt("> ")
        except (EOFError, KeyboardInterrupt):
            return
