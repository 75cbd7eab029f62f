"""Token ids into text one by one: each step costs the same, however long the text has become."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Iterable

from carousel.text.byte_level import token_bytes
from carousel.text.detokenizer import LineDetokenizer
from carousel.text.tokenizer import UNKNOWN, Tokenizer
from carousel.text.truecase import TruecasedLine


class DecodeStream:
    """Decodes ids as they come; the pieces joined are ``tokenizer.decode`` of all ids.

    Where the tokenizer knows how its lower-case words are written, they have their capitals here.

    Args:
        tokenizer: what the ids belong to.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> tokenizer = train_tokenizer("words", ["she said yes"])
    >>> stream = DecodeStream(tokenizer)
    >>> stream.skip(tokenizer.encode("she"))
    >>> [stream.step(id) for id in tokenizer.encode("said yes")]
    [' said', ' yes']
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.to_skip = 0
        """How many of the next pieces belong to tokens that are not shown."""
        self.line_start = True
        self.line = LineDetokenizer()
        self.case = TruecasedLine(tokenizer.forms)
        self.utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def copy(self) -> DecodeStream:
        """A stream that stands at the same place and goes its own way."""
        copied = copy.copy(self)
        copied.line = copy.copy(self.line)
        copied.line.tokens = list(self.line.tokens)
        copied.case = copy.copy(self.case)
        copied.utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        copied.utf8.setstate(self.utf8.getstate())
        return copied

    def skip(self, ids: Iterable[int]) -> None:
        """Take tokens that stand before the text to come, and show nothing of them."""
        for id in ids:
            self.to_skip += 1
            self._shown(self._pieces(id))

    def step(self, id: int) -> str:
        """Take the next token, and return the text that no later token can change."""
        return self._shown(self._pieces(id))

    def finish(self) -> str:
        """Return the rest of the text, which waited for tokens to come."""
        return self._shown(self._end_line())

    def _shown(self, pieces: list[str]) -> str:
        hidden = min(self.to_skip, len(pieces))
        self.to_skip -= hidden
        return "".join(pieces[hidden:])

    def _pieces(self, id: int) -> list[str]:
        """The text of each token that is decided with this one, one piece a token."""
        kind, token = self.tokenizer.kind, self.tokenizer.token(id)
        if id == self.tokenizer.eol_id:
            pieces = [*self._end_line(), "\n"]
            self.line, self.line_start = LineDetokenizer(), True
            self.case = TruecasedLine(self.tokenizer.forms)
            return pieces
        space = "" if self.line_start else " "
        self.line_start = False
        if kind == "words":
            return self._written(self.line.add(token))
        if kind == "bpe":
            return [self.utf8.decode(token_bytes(token))]
        if kind == "whitespace":
            return [space + token]
        return ["\N{REPLACEMENT CHARACTER}" if token == UNKNOWN else token]

    def _written(self, pieces: list[str]) -> list[str]:
        """Words with the spaces before them, with capitals where the tokenizer knows them."""
        if not self.tokenizer.forms:
            return pieces
        return [" " * (piece[0] == " ") + self.case.write(piece.lstrip(" ")) for piece in pieces]

    def _end_line(self) -> list[str]:
        if self.tokenizer.kind == "words":
            return self._written(self.line.finish())
        rest = self.utf8.decode(b"", final=True)
        return [rest] if rest else []
