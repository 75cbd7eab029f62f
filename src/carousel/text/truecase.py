"""Truecasing: lower-case words written as people write them, with capitals where they belong.

As the baseline of Lita et al. 2003, "tRuEcasIng" (ACL, P03-1020): each word in the form that it
has most often in a text, and a capital letter where a sentence begins.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from carousel.text.tokenizer import UNKNOWN, Tokenizer

SENTENCE_ENDS = frozenset(".!?…。！？")
"""A sentence begins after one of these, as at the start of a line."""


class TruecasedLine:
    """Writes the lower-case tokens of a line one by one, with capitals.

    Args:
        forms: how words are written within a sentence, by the word in lower case. Those that are
            written in lower case need not be there.

    >>> line = TruecasedLine({"i": "I", "batman": "Batman"})
    >>> [line.write(token) for token in ("hi", ".", "then", "i", "saw", "batman")]
    ['Hi', '.', 'Then', 'I', 'saw', 'Batman']
    """

    def __init__(self, forms: Mapping[str, str]) -> None:
        self.forms = forms
        self.begins_sentence = True
        """Whether the next word begins a sentence."""
        self.previous = ""

    def write(self, token: str) -> str:
        """Take the line's next token, and return how it is written."""
        written = self.forms.get(token, token)
        if self.begins_sentence and written == token:
            written = _capitalize(token)
        self.go_on(token)
        return written

    def go_on(self, token: str) -> None:
        """Take a token that is written otherwise."""
        if token in SENTENCE_ENDS:
            # The full stops of U.S. and p.m. end no sentence.
            self.begins_sentence = not (len(self.previous) == 1 and self.previous.isalpha())
        elif token[:1].isalnum() or token == UNKNOWN:
            self.begins_sentence = False
        self.previous = token


def count_forms(tokenizer: Tokenizer, lines: Iterable[str]) -> dict[str, str]:
    """How the known words of a text are mostly written within its sentences.

    Args:
        tokenizer: a tokenizer that lowers upper case.
        lines: the text, line by line.

    Returns:
        the forms that have capitals, by the word in lower case.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> text = ["Today I saw Batman.", "Batman? I like Batman"]
    >>> count_forms(train_tokenizer("words", text), text)
    {'batman': 'Batman', 'i': 'I'}
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in lines:
        so_far = TruecasedLine({})
        for token, written in written_tokens(tokenizer, line):
            if not so_far.begins_sentence and token[:1].isalpha():
                counts[token][written] += 1
            so_far.go_on(token)
    most = {token: _most_frequent(forms) for token, forms in counts.items()}
    return {
        token: form
        for token, form in sorted(most.items())
        if form != token and lowered(form) == token
    }


def written_tokens(tokenizer: Tokenizer, line: str) -> list[tuple[str, str]]:
    """The tokens of a line, each with how the line writes it.

    >>> from carousel.text.vocabulary import train_tokenizer
    >>> written_tokens(train_tokenizer("words", ["saw him"]), "Saw Him Twice")
    [('saw', 'Saw'), ('him', 'Him'), ('<unk>', 'Twice')]
    """
    line = unicodedata.normalize("NFC", line).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    places = tokenizer.encode_with_offsets(line)
    return [(tokenizer.token(id), line[start:end]) for id, start, end in places]


def lowered(word: str) -> str:
    """A word in lower case, letter by letter, as tokenizers lower it.

    >>> lowered("ΟΔΟΣ"), "ΟΔΟΣ".lower()
    ('οδοσ', 'οδος')
    """
    return "".join(map(str.lower, word))


def _most_frequent(forms: Counter[str]) -> str:
    return max(forms, key=lambda form: (forms[form], form))  # of two, the one in lower case


def _capitalize(word: str) -> str:
    """A word with a capital letter first; as it is where no such letter stands for its first."""
    capital = word[:1].upper() + word[1:]
    return capital if lowered(capital) == word else word
