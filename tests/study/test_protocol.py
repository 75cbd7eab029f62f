"""All studies offer the same names with the same arguments."""

import dataclasses
import inspect

import pytest

from carousel.errors import SettingsError
from carousel.study import STUDIES
from carousel.study.protocol import Study
from carousel.study.registry import find_study

FUNCTIONS = ("run", "report", "draw")


def test_there_are_four_studies_and_each_is_a_module_of_its_own():
    modules = {name: find_study(name).__name__ for name in STUDIES}
    assert modules == {
        name: f"carousel.study.{name.replace('-', '_')}"
        for name in ("short-memory", "context-switch", "going-back", "characters")
    }


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_study_takes_what_the_protocol_says(name, function):
    wanted = list(inspect.signature(getattr(Study, function)).parameters)[1:]
    taken = inspect.signature(getattr(find_study(name), function)).parameters
    assert list(taken) == wanted
    assert all(parameter.default is parameter.empty for parameter in taken.values())


@pytest.mark.parametrize("name", STUDIES)
def test_its_arguments_are_a_frozen_dataclass(name):
    arguments = find_study(name).Arguments
    assert dataclasses.is_dataclass(arguments)
    assert arguments.__dataclass_params__.frozen
    fields = {field.name for field in dataclasses.fields(arguments)}
    assert fields == ({"model", "text"} if name == "characters" else {"out", "seeds"})


@pytest.mark.parametrize("name", STUDIES)
def test_it_says_what_it_offers(name):
    assert set(find_study(name).__all__) == {"Arguments", *FUNCTIONS}


def test_an_unknown_study_is_told_with_those_that_there_are():
    with pytest.raises(SettingsError, match=r"'astrology'.*short-memory"):
        find_study("astrology")
