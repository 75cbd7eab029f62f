"""The examples in docstrings run and print what they say; every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import carousel

MODULES = [
    "carousel",
    *(
        module.name
        for module in pkgutil.walk_packages(carousel.__path__, "carousel.")
        if not module.name.endswith("__main__")
    ),
]
FINDER = doctest.DocTestFinder(exclude_empty=True)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    tests = [test for test in FINDER.find(module, name) if test.examples]
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said = []
    for test in tests:
        runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


def public():
    """Every public function, class, method and property by its name."""
    for name in carousel.__all__:
        item = getattr(carousel, name)
        if name[0] == "_":
            continue
        yield name, item
        if inspect.isclass(item) and not issubclass(item, Exception):
            for member, value in vars(item).items():
                if member[0] != "_" and (callable(value) or isinstance(value, property)):
                    yield f"{name}.{member}", value
                if isinstance(value, classmethod | staticmethod):
                    yield f"{name}.{member}", value.__func__


@pytest.mark.parametrize(("name", "item"), list(public()), ids=[name for name, _ in public()])
def test_every_public_name_has_a_docstring(name, item):
    assert inspect.getdoc(item), name
