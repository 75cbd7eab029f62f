"""Pairs of stories: the same but for the subject, and every place where it is said to be."""

import numpy as np
import pytest

from carousel.study.pairs import by_place, places, position, tell_pairs
from carousel.study.stories import is_held_out, tell_stories

PAIRS = tell_pairs([4, 8], seed=1)


def test_pairs_differ_in_the_subject_alone():
    assert len({pair.facts for pair in PAIRS}) * 2 == len(PAIRS)
    for pair in PAIRS:
        same, switch = pair.same.words, pair.switch.words
        assert same[:4] == switch[:4]
        assert same[9 : 9 + pair.same.gap] == switch[8 : 8 + pair.switch.gap]
        assert same[8] == switch[7] == pair.switch.answer == pair.same.rival
        assert same[2] == pair.same.answer == pair.switch.rival
        assert is_held_out(same[:9])
        assert is_held_out(switch[:8])
        for story in (pair.same, pair.switch):
            assert story.words[story.decider] == story.answer
            assert story.switch is None or story.words[story.switch] == "friend"


def test_they_are_stories_as_the_corpus_tells_them():
    # The same words stand around the filler in what the corpus tells.
    for kind, facts in (("same", 9), ("switch", 8)):
        told = {
            tuple(story.words[:facts] + story.words[facts + 4 :])
            for story in tell_stories(1500, kinds=[kind], gaps=[4], held_out=True)
        }
        pairs = [getattr(pair, kind) for pair in PAIRS if pair.same.gap == 4]
        assert {tuple(s.words[:facts] + s.words[facts + 4 :]) for s in pairs} <= told


WORDS = {
    "same": {"but": "but", "not": "not", "so": "so", "orders?": "orders"},
    "switch": {"friend": "friend", "likes2": "likes", "friend?": "friend", "orders?": "orders"},
    "return": {"friend": "friend", "friend?": "friend", "and": "and", "orders!": "orders"},
}


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("gap", [3, 8])
def test_places_are_where_they_are_said_to_be(kind, gap):
    for story in tell_stories(20, seed=3, kinds=[kind], gaps=[gap]):
        read = ["⏎", *story.question.split()]
        for place, word in WORDS[kind].items():
            assert read[position(story, place)] == word
        assert read[position(story, "food1")] == story.words[2]
        assert read[position(story, "filler")] == story.words[story.words.index("so") - 1]
        assert position(story, places(kind)[-1]) == len(read) - 1
        values = np.arange(len(read)) * 10.0
        joined = by_place(story, values)
        assert len(joined) == len(places(kind))
        for number, place in enumerate(places(kind)):
            if place != "filler":
                assert joined[number] == 10 * position(story, place)
        filler = values[position(story, "filler") - gap + 1 : position(story, "filler") + 1]
        assert joined[places(kind).index("filler")] == filler.mean()
        assert by_place(story, values, total=True).sum() == values.sum()
