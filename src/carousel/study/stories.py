"""The built-in corpus: small stories whose last word an earlier word decides.

Five kinds, as minimal pairs, with ``[...]`` a stretch of unrelated clauses whose length in words,
the ``gap``, is the knob:

``same``
    krish likes **pizza** but he does not like burger [...] so he orders **pizza**
``switch``
    krish likes pizza but his friend likes **burger** [...] so his friend orders **burger**
``return``
    krish likes **pizza** but his friend likes burger [...] so his friend orders burger and krish
    orders **pizza**
``habits``
    on sunday i want to eat **pizza** on monday i want to eat burger [...] today is sunday so i
    want to eat **pizza**
``names``
    my name is krish and my friend's name is **paul** [...] my friend is called **paul**
    (or: my name is **krish** ... and i am called **krish**)

A fifth of all combinations of facts (who likes which food against which, which name beside which)
is held out: training stories never tell them and test stories tell nothing else, so that a right
answer was remembered and not learned by heart.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from carousel.errors import SettingsError

KINDS = ("same", "switch", "return", "habits", "names")
MEANINGS = {
    "same": "one person: who likes it, orders it",
    "switch": "a friend likes something else, and the friend orders",
    "return": "the friend orders first, then the person of the start",
    "habits": "two days with a food each: which day is today?",
    "names": "two names: whose is asked for?",
}
"""What each kind of story asks for, in a few words."""
TRAINED_GAPS = (0, 3, 4, 5, 6, 7, 8)
"""The gaps (words of filler) that training stories have; 1 and 2 can't be filled with a clause."""
TESTED_GAPS = (0, 4, 8, 12, 16, 20, 24)
"""The gaps that tests ask about: up to three times beyond the longest trained."""
HELD_OUT = 0.2
"""The share of combinations that only test stories hold."""
EXAMPLES = (
    "krish likes pizza but he does not like burger",
    "krish likes pizza but his friend likes burger",
    "on sunday i want to eat pizza on monday i want to eat burger",
    "my name is krish and my friend's name is paul",
)
"""The running examples' facts: always held out."""

NAMES = {
    "krish": "he",
    "paul": "he",
    "omar": "he",
    "felix": "he",
    "ravi": "he",
    "maya": "she",
    "anna": "she",
    "lena": "she",
    "zoe": "she",
    "ines": "she",
}
POSSESSIVE = {"he": "his", "she": "her"}
FOODS = (
    "pizza",
    "burger",
    "pasta",
    "soup",
    "rice",
    "salad",
    "noodles",
    "curry",
)
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MOST_DRAWS = 10_000
"""Draws in which a story of the facts that are wanted must come up."""
CLAUSES = {
    3: ("the sun shines", "dogs bark outside", "snow falls again", "time goes by"),
    4: ("a clock ticks slowly", "the old door creaks", "two birds sing loudly"),
    5: ("rain drums on the roof", "trains pass behind our house", "leaves drift over the river"),
}
"""Unrelated clauses by their length in words."""


FRAME = """
likes but he his she her does not like so orders friend and
on i want to eat today is my name friend's called am
"""
OTHER_WORDS = {
    *FRAME.split(),
    *DAYS,
    *(word for clauses in CLAUSES.values() for line in clauses for word in line.split()),
}
"""The words of the stories that are neither names nor foods."""


@dataclass(frozen=True)
class Cast:
    """Whom the stories tell of, and what is eaten in them.

    Args:
        names: each name with its pronoun, ``he`` or ``she``.
        foods: the foods.

    Raises:
        SettingsError: fewer than two names or three foods, a word that is no single word of
            letters, a word twice, or one that the stories use for something else.

    >>> cast = Cast({"amir": "he", "bea": "she"}, ("tea", "milk", "juice"))
    >>> (story,) = tell_stories(1, kinds=["same"], gaps=[0], cast=cast)
    >>> story.text
    'bea likes milk but she does not like juice so she orders milk'
    """

    names: Mapping[str, str]
    foods: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(self.foods) < 3:
            raise SettingsError("stories need at least two names and three foods")
        words = [*self.names, *self.foods]
        for word in words:
            if not word.isalpha() or word != word.lower():
                raise SettingsError(f"{word!r} must be one word of small letters")
            if word in OTHER_WORDS or words.count(word) > 1:
                raise SettingsError(f"{word!r} stands for something else in the stories, too")
        for name, pronoun in self.names.items():
            if pronoun not in POSSESSIVE:
                raise SettingsError(f"{name} needs a pronoun, he or she: {name}:she")


@dataclass(frozen=True)
class Story:
    """One story with its labels. Indices count words from 0; the answer is the last word."""

    text: str
    kind: str
    gap: int
    """Words of filler between the facts and the question."""
    decider: int
    """Index of the earlier word that decides the answer (it is the same word)."""
    rival: str
    """The other word of the pair: what a confused memory answers."""
    switch: int | None
    """Index of the word where the context switches ("friend"), or None."""

    @property
    def words(self) -> list[str]:
        """The story's words."""
        return self.text.split()

    @property
    def answer(self) -> str:
        """The last word."""
        return self.words[-1]

    @property
    def question(self) -> str:
        """Everything but the answer."""
        return self.text.rsplit(" ", 1)[0]

    @property
    def distance(self) -> int:
        """How many words the deciding word lies before the answer."""
        return len(self.words) - 1 - self.decider


CAST = Cast(NAMES, FOODS)
"""Krish, his friends, and what they eat."""


def is_held_out(facts: Sequence[str]) -> bool:
    """Whether only tests may tell these facts: a fifth of all combinations, by their checksum.

    The running example's own facts are always among them.
    """
    text = " ".join(facts)
    return text in EXAMPLES or zlib.crc32(text.encode()) % 100 < 100 * HELD_OUT


def tell_stories(
    count: int,
    *,
    seed: int = 0,
    kinds: Sequence[str] = KINDS,
    gaps: Sequence[int] = TRAINED_GAPS,
    held_out: bool = False,
    cast: Cast | None = None,
) -> Iterator[Story]:
    """Tell stories.

    Args:
        count: how many.
        seed: everything but the kinds is drawn from it; the same seed tells the same stories.
        kinds: the kinds, which take turns.
        gaps: numbers of words of filler to draw from.
        held_out: tell only of facts that training never sees, instead of the others.
        cast: the names and foods; ``CAST`` by default.

    Raises:
        SettingsError: an unknown kind, a gap that clauses of 3 to 5 words can't fill, or a cast so
            small that there are no such facts.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise SettingsError(f"no such kind of story: {kind!r}; there are {', '.join(KINDS)}")
    for gap in gaps:
        if gap < 0 or gap in (1, 2):
            raise SettingsError(f"a gap of {gap} words can't be filled; take 0, or 3 and more")
    rng = random.Random(f"stories {seed}")
    for number in range(count):
        yield _tell(kinds[number % len(kinds)], rng.choice(gaps), held_out, rng, cast or CAST)


def fill(gap: int, rng: random.Random) -> list[str]:
    """Unrelated clauses of 3 to 5 words, ``gap`` words in all."""
    words: list[str] = []
    while (left := gap - len(words)) > 0:
        length = rng.choice([n for n in CLAUSES if left == n or left - n >= min(CLAUSES)])
        words += rng.choice(CLAUSES[length]).split()
    return words


def _tell(kind: str, gap: int, held_out: bool, rng: random.Random, cast: Cast) -> Story:
    for _ in range(MOST_DRAWS):
        facts, question, answer, rival = _DRAW[kind](rng, cast)
        if is_held_out(facts) == held_out:
            break
    else:
        purpose = "the test" if held_out else "training"
        raise SettingsError(
            f"with so few names and foods no {kind!r} story is left for {purpose}: give more"
        )
    return Story(
        text=" ".join([*facts, *fill(gap, rng), *question, answer]),
        kind=kind,
        gap=gap,
        decider=facts.index(answer),
        rival=rival,
        switch=facts.index("friend") if kind in ("switch", "return") else None,
    )


Draft = tuple[list[str], list[str], str, str]
"""Facts, question, answer, rival."""


def _draw_same(rng: random.Random, cast: Cast) -> Draft:
    name = rng.choice(list(cast.names))
    first, second = rng.sample(list(cast.foods), 2)
    pronoun = cast.names[name]
    facts = [name, "likes", first, "but", pronoun, "does", "not", "like", second]
    return facts, ["so", pronoun, "orders"], first, second


def _draw_switch(rng: random.Random, cast: Cast) -> Draft:
    facts, possessive = _draw_friend(rng, cast)
    return facts, ["so", possessive, "friend", "orders"], facts[-1], facts[2]


def _draw_return(rng: random.Random, cast: Cast) -> Draft:
    facts, possessive = _draw_friend(rng, cast)
    friend_orders = ["so", possessive, "friend", "orders", facts[-1]]
    return facts, [*friend_orders, "and", facts[0], "orders"], facts[2], facts[-1]


def _draw_friend(rng: random.Random, cast: Cast) -> tuple[list[str], str]:
    name = rng.choice(list(cast.names))
    first, second = rng.sample(list(cast.foods), 2)
    possessive = POSSESSIVE[cast.names[name]]
    return [name, "likes", first, "but", possessive, "friend", "likes", second], possessive


def _draw_habits(rng: random.Random, cast: Cast) -> Draft:
    days, foods = rng.sample(DAYS, 2), rng.sample(list(cast.foods), 2)
    want = ["i", "want", "to", "eat"]
    facts = ["on", days[0], *want, foods[0], "on", days[1], *want, foods[1]]
    asked = rng.randrange(2)
    return facts, ["today", "is", days[asked], "so", *want], foods[asked], foods[1 - asked]


def _draw_names(rng: random.Random, cast: Cast) -> Draft:
    name, friend = rng.sample(list(cast.names), 2)
    facts = ["my", "name", "is", name, "and", "my", "friend's", "name", "is", friend]
    if rng.random() < 0.5:
        return facts, ["my", "friend", "is", "called"], friend, name
    return facts, ["i", "am", "called"], name, friend


_DRAW: dict[str, Callable[[random.Random, Cast], Draft]] = {
    "same": _draw_same,
    "switch": _draw_switch,
    "return": _draw_return,
    "habits": _draw_habits,
    "names": _draw_names,
}
