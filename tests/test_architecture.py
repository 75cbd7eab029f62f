"""Who may know whom: every import of every file points down the house, lazily made or not."""

import ast
from pathlib import Path

import pytest

import carousel

ROOT = Path(carousel.__file__).parent

# The floors, lowest first. A file may import files of lower floors, and of its own.
FLOORS = [
    "errors",
    "cells",
    "unroll",
    "softmax",
    "adaptive_softmax",
    "text",
    "storage",
    "engine",
    "inference",
    "predict",
    "ngram",
    "evaluate",
    "lens",
    "draw",
    "web",
    "explain",
    "pretrained",
    "training.settings",
    "training.defaults",
    "training.nn",
    "adaptation",
    "model",
    "batch_scorer",
    "quantization",
    "training.data",
    "training.run",
    "training.job",
    "training.api",
    "",  # carousel itself: the public names
    "convert",
    "study",
    "serve",
    "cli",
    "__main__",
]
TORCH = ("training", "study", "convert")
# Modules that are nothing without torch; the files beside them import them where they need them.
OF_TORCH = {"convert.transformers", "convert.transformers_padding"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def floor(module):
    """The place in the house of a module: that of the longest name that it is under."""
    names = [name for name in FLOORS if module == name or (name and module.startswith(name + "."))]
    assert names or module in PACKAGES, f"{module or 'carousel'} is on no floor"
    return FLOORS.index(max(names, key=len)) if names else -1


# Packages that are only a door to floors of their own.
PACKAGES = {"training"}


def for_types_only(tree):
    return {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for statement in test.body
        for node in ast.walk(statement)
    }


def imported(path):
    """The modules of the house that a file imports, at its top or inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = for_types_only(tree)
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top != "carousel":
                continue
            while rest and rest not in FILES:
                rest = rest.rpartition(".")[0]
            yield rest


GRAPH = {module: set(imported(path)) - {module} for module, path in FILES.items()}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module):
    for other in GRAPH[module]:
        assert floor(other) <= floor(module), f"{module} imports {other}, which is above it"


def test_no_files_import_each_other_in_a_circle():
    def reached(module):
        seen, waiting = set(), [module]
        while waiting:
            for other in GRAPH[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        return seen

    assert [module for module in GRAPH if module in reached(module)] == []


def test_every_floor_is_there():
    built = {floor(module) for module in FILES if module not in PACKAGES}
    missing = {FLOORS[number] for number in set(range(len(FLOORS))) - built}
    assert missing == set()


@pytest.mark.parametrize("module", FILES)
def test_only_what_trains_knows_torch(module):
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    at_the_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        if any(name.split(".")[0] == "torch" for name in names):
            assert module.startswith(TORCH), f"{module} imports torch"
            # A .safetensors file is taken over without PyTorch.
            lazy = id(node) not in at_the_top or module in OF_TORCH
            assert lazy or not module.startswith("convert"), f"{module} imports torch at once"


def test_modules_are_short():
    cpp = ROOT.parents[1] / "cpp"
    sources = [*FILES.values(), *ROOT.rglob("*.js"), *cpp.rglob("*.cpp"), *cpp.rglob("*.h")]
    long = {
        path.name: lines
        for path in sources
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}
