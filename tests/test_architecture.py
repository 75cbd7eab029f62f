"""Who may know whom: the arrows of the house, read from the imports."""

import ast
from pathlib import Path

import pytest

import carousel

ROOT = Path(carousel.__file__).parent

# Each room and what it may import, at the top of a module or inside a function.
MAY_IMPORT = {
    "errors": set(),
    "cells": set(),
    "unroll": {"cells"},
    "text": {"errors"},
    "storage": set(),
    "adaptive": {"storage"},
    "weights_file": {"errors", "storage"},
    "folder": {"errors", "cells", "text", "storage", "adaptive", "weights_file"},
    "engine": {"errors", "cells", "folder", "storage", "adaptive"},
    "model": {
        "errors", "cells", "unroll", "folder", "text", "storage", "adaptive", "engine",
    },
    "predict": {"errors", "cells", "model", "text"},
    "evaluate": {"errors", "model", "text"},
    "convert": {"errors", "cells", "folder", "text", "model", "weights_file"},
    "quantize": {"errors", "folder", "storage", "model", "evaluate", "text"},
    "lens": {
        "errors", "cells", "unroll", "folder", "text", "adaptive", "model", "predict", "engine",
    },
    "draw": {"errors", "cells", "folder", "model", "predict", "lens"},
    "training": {"errors", "cells", "unroll", "folder", "text", "adaptive", "model", "draw"},
    "study": {"errors", "cells", "folder", "text", "model", "predict", "training", "lens", "draw"},
    "web": set(),
    "cli": {
        "", "errors", "folder", "text", "model", "predict", "evaluate", "convert", "quantize",
        "lens", "training", "study", "draw", "web",
    },
    "": {"errors", "model", "training"},
    "__main__": {"cli"},
}  # fmt: skip
# The model's conveniences (``model.next_words``) open the rooms above it when they are called.
CONVENIENCES = {
    ("model", "predict"),
    ("model", "evaluate"),
    ("model", "lens"),
    ("lens", "draw"),
    ("", "lens"),
}
TORCH = {"training", "study", "convert"}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, "" if parts == ("__init__",) else parts[0]


def imported(path):
    """Names of the modules that a file imports, each with whether that is inside a function."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [str(node.module)]
        else:
            continue
        for name in names:
            yield name, id(node) in inside


@pytest.mark.parametrize(("path", "room"), list(modules()), ids=lambda value: str(value)[-40:])
def test_imports_follow_the_arrows(path, room):
    for name, lazy in imported(path):
        top, *rest = name.split(".")
        if top == "carousel":
            other = rest[0] if rest else ""
            allowed = other == room or other in MAY_IMPORT[room]
            if (room, other) in CONVENIENCES:
                allowed = lazy or is_for_types_only(path, name)
            assert allowed, f"{path.relative_to(ROOT)} imports {name}"
        if top == "torch":
            assert room in TORCH, f"{path.relative_to(ROOT)} imports torch"
            # A .safetensors file is taken over without PyTorch.
            assert lazy or room != "convert", f"{path.relative_to(ROOT)} imports torch at once"


def is_for_types_only(path, name):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return any(isinstance(n, ast.ImportFrom) and n.module == name for n in node.body)
    return False


def test_every_room_is_in_the_plan():
    assert {room for _, room in modules()} == set(MAY_IMPORT)
