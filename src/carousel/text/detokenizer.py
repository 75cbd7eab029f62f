"""Words and marks back into text, with the spaces that a person would write."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NO_SPACE_BEFORE = frozenset(",.!?;:%…°™®") | frozenset("،؛؟۔।॥։")
"""Marks that follow a word at once; closing brackets and quotation marks do so, too."""
NO_SPACE_AFTER = frozenset("#@¿¡")
"""Marks that a word follows at once; opening brackets and quotation marks are others."""
NO_SPACE_AROUND = frozenset("-/_\u2010\u2011") | frozenset("。，、！？；：・\u200b")
"""Marks that take no space on either side: well-known, and/or, and those of Chinese."""
INSIDE_URL = frozenset("/.?=&#-_~%:@+")
URL_SCHEMES = frozenset({"http", "https", "ftp"})
TOP_LEVEL_DOMAINS = frozenset(
    {"com", "org", "net", "edu", "gov", "io", "uk", "eu", "jp", "cn", "br"}
)
ELISIONS = frozenset({"tis", "twas", "twere", "em", "til", "cause", "bout", "round", "neath", "n"})
"""Words that lost their beginning, and have an apostrophe there."""
NUMBER_ENDINGS = frozenset({"s", "st", "nd", "rd", "th"})
"""What follows a number at once: the 1990s, the 3rd."""
LOOKAHEAD = 3
"""Tokens behind a mark that may decide how it is written."""
LONGEST_QUOTATION = 64
"""Tokens behind an apostrophe among which the end of a quotation is looked for."""
VERBS_IN_S = frozenset(
    {
        "says",
        "asks",
        "is",
        "was",
        "means",
        "calls",
        "replies",
        "shouts",
        "whispers",
        "cries",
        "adds",
        "as",
    }
)
"""Words that end in s and have no apostrophe behind it: a quotation begins there."""


def detokenize(tokens: Sequence[str]) -> str:
    r"""Join the tokens of a line with natural spacing.

    Where a text had its spaces is not in its tokens. So this is a rule of thumb, but cutting the
    result into tokens again always gives the same tokens.

    >>> detokenize(['"', 'yes', ',', '"', 'he', 'said', '(', 'twice', ')', '.'])
    '"yes," he said (twice).'
    """
    line = LineDetokenizer()
    pieces = [piece for token in tokens for piece in line.add(token)]
    return "".join(pieces + line.finish())


class LineDetokenizer:
    """Joins the tokens of one line as they come, and remembers the quotation marks that are open.

    >>> line = LineDetokenizer()
    >>> [line.add(token) for token in ("she", "said", ".")], line.finish()
    ([['she'], [' said'], []], ['.'])
    """

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.written = 0
        """How many of the tokens have been written."""
        self.space_wanted = False
        self.double_open = False
        self.single_open = False
        self.curly = False
        """Whether a quotation mark of the line is a curly one."""
        self.low_open = False
        """A German or Polish quotation, which begins below the line."""
        self.in_url = False

    def add(self, token: str) -> list[str]:
        """Take the line's next token.

        Returns:
            The text of each token that is decided now, with the space before it. A mark waits for
            the tokens behind it that decide on its spaces.
        """
        self.tokens.append(token)
        return self.write(ended=False)

    def finish(self) -> list[str]:
        """End the line, and return the text of each token that was not written yet."""
        return self.write(ended=True)

    def write(self, *, ended: bool) -> list[str]:
        """The text of each token that can be written; of all of them where the line has ended."""
        pieces = []
        while self.written < len(self.tokens) and (ended or self.is_decided(self.written)):
            before, after, shown = self.spaces(self.written, self.tokens[self.written])
            pieces.append(" " + shown if self.space_wanted and before else shown)
            self.space_wanted = after
            self.written += 1
        return pieces

    def is_decided(self, position: int) -> bool:
        """Whether no token to come can change how the token there is written."""
        token, later = self.tokens[position], len(self.tokens) - 1 - position
        if token[:1].isalnum() and not self.in_url:
            return True
        if token != "'" or later < LOOKAHEAD:
            return later >= LOOKAHEAD
        closed = self.single_open or self.is_possessive(position)
        return closed or later >= LONGEST_QUOTATION or self.has_apostrophe_behind(position)

    def spaces(self, position: int, token: str) -> tuple[bool, bool, str]:
        """Whether a token takes a space before and after it, and how it is written."""
        previous, following = self.token(position - 1), self.token(position + 1)
        if self.in_url or self.begins_url(position):
            self.in_url = self.continues_url(position + 1)
            return False, not self.in_url, token
        if token == '"':
            self.double_open = not self.double_open
            return self.double_open, not self.double_open, token
        if token == "'":
            return self.apostrophe(position, previous, following)
        if token in "„‚":
            self.low_open = True
            return True, False, token
        if token in "“‘" and self.low_open:
            self.low_open = False
            return False, True, token
        if token == "‘":
            self.single_open = self.curly = True
        if token in NUMBER_ENDINGS and previous.isdecimal():
            return False, True, token
        if self.is_inside_number(position) or self.is_abbreviation(position):
            return False, False, token
        if token == "@":
            return not self.is_address(position), False, token
        category = unicodedata.category(token[0])
        if (
            category == "Cf" and token not in NO_SPACE_AROUND
        ):  # such as the marks of direction in a chat
            return True, False, token
        opens, closes = category in ("Ps", "Pi"), category in ("Pe", "Pf")
        price = category == "Sc" and following.isdecimal() and not previous.isdecimal()
        around = token in NO_SPACE_AROUND
        before = not (closes or around or token in NO_SPACE_BEFORE)
        after = not (opens or around or price or token in NO_SPACE_AFTER)
        return before, after, token

    def token(self, position: int) -> str:
        """The token at a position, or "" outside of the line."""
        return self.tokens[position] if 0 <= position < len(self.tokens) else ""

    def apostrophe(self, position: int, previous: str, following: str) -> tuple[bool, bool, str]:
        """An apostrophe, or a single quotation mark: what stands around it must tell."""
        possessive = self.is_possessive(position)
        if following.lower() in ELISIONS:  # 'tis; the first of rock 'n' roll
            return True, False, "'"
        if previous.lower() == "n" and self.token(position - 2) == "'":
            return False, True, "'"
        year = following.isdecimal() and len(following) == 2 and self.token(position + 2) != "'"
        if year and not possessive:  # the '90s
            return True, False, "'"
        if self.single_open:
            self.single_open = False
            # It was written so: the tokenizer reads ’ as '.
            return False, True, "’" if self.curly else "'"
        if following and not possessive and self.has_apostrophe_behind(position):
            self.single_open = True
            return True, False, "'"
        return not previous[:1].isalnum(), True, "'"

    def is_possessive(self, position: int) -> bool:
        """Whether the apostrophe there may belong to the word before it: the dogs' bowls."""
        previous = self.token(position - 1)
        return previous.endswith("s") and previous not in VERBS_IN_S

    def has_apostrophe_behind(self, position: int) -> bool:
        """Whether another apostrophe follows, which may end the quotation that begins there."""
        return "'" in self.tokens[position + 1 : position + 1 + LONGEST_QUOTATION]

    def is_inside_number(self, position: int) -> bool:
        """Whether the token there is a mark within 3.14, 10,000 or 12:30."""
        left, mark, right = (self.token(position + step) for step in (-1, 0, 1))
        if not (left.isdecimal() and right.isdecimal()):
            return False
        if mark == ",":
            return len(left) <= 3 and len(right) == 3
        return mark == "." or (mark == ":" and len(right) == 2)

    def is_abbreviation(self, position: int) -> bool:
        """Whether the token there is the full stop within p.m., U.S. or example.com."""
        left, mark, right = (self.token(position + step) for step in (-1, 0, 1))
        if mark != "." or not left[:1].isalpha():
            return False
        initials = len(left) == 1 and len(right) == 1 and right.isalpha()
        follows = self.token(position + 2)
        return (initials and follows == ".") or right in TOP_LEVEL_DOMAINS

    def is_address(self, position: int) -> bool:
        """Whether the sign there stands in anna@example.com, and not before a name: @anna."""
        name, host, dot, end = (self.token(position + step) for step in (-1, 1, 2, 3))
        return name[:1].isalnum() and host[:1].isalnum() and dot == "." and end[:1].isalpha()

    def begins_url(self, position: int) -> bool:
        """Whether the token there is the first mark of https://example.com or www.example.com."""
        previous, token = self.token(position - 1), self.token(position)
        if token == ":" and previous in URL_SCHEMES:
            return self.token(position + 1) == self.token(position + 2) == "/"
        return token == "." and previous == "www" and self.continues_url(position + 1)

    def continues_url(self, position: int) -> bool:
        """Whether the token there belongs to the address that the one before it is in."""
        if position >= len(self.tokens):
            return False
        previous, token = self.token(position - 1), self.token(position)
        if token in INSIDE_URL:
            # A full stop or the like at the end is the sentence's.
            return position + 1 < len(self.tokens) or token in "/#="
        return previous in INSIDE_URL and token[:1].isalnum()
