"""`carousel stories`: text with known answers."""

import json

import pytest

from carousel.cli import run

CAST = ["--names", "Amir:he,bea:she", "--foods", "tea,milk,juice,cocoa"]


def test_a_story_a_line_with_names_and_foods_of_ones_own(capsys):
    assert run(["stories", *CAST, "--count", "40", "--kinds", "same,switch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40
    assert {line.split()[0] for line in lines} == {"amir", "bea"}
    assert {line.split()[-1] for line in lines} == {"tea", "milk", "juice", "cocoa"}


def test_answers_are_known_and_held_out_facts_are_told_nowhere_else(capsys):
    def facts(*flags):
        assert run(["stories", *CAST, "--kinds", "same", "--count", "200", "--json", *flags]) == 0
        stories = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        for story in stories:
            words = story["text"].split()
            assert words[-1] == words[story["decider"]] == story["answer"] != story["rival"]
        return {tuple(story["text"].split()[:9]) for story in stories}

    assert not facts() & facts("--held-out")


def test_stories_go_to_a_file_that_a_model_can_be_trained_on(tmp_path, capsys):
    out = tmp_path / "stories.txt"
    assert run(["stories", "--count", "50", "--seed", "3", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert run(["stories", "--count", "50", "--seed", "3"]) == 0
    assert out.read_text() == capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--names", "amir"], "two names"),
        (["--names", "amir,bea"], "amir needs a pronoun"),
        (["--foods", "tea,friend,milk"], "'friend' stands for something else"),
        (["--foods", "tea,ice cream,milk"], "'ice cream' must be one word"),
        (["--kinds", "fable"], "no such kind"),
        (["--names", "amir:he,bea:she", "--kinds", "names", "--held-out"], "give more"),
    ],
)
def test_what_can_not_be_told_is_one_line(flags, said, capsys):
    assert run(["stories", *flags]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
