"""Finding a study by its name, and carrying it out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from carousel.errors import SettingsError
from carousel.storage.atomic import write_file
from carousel.study import STUDIES
from carousel.study.protocol import Study


def find_study(name: str) -> Study:
    """The module of a study. It is imported here, as most of them import PyTorch.

    Raises:
        SettingsError: no study is called so; it lists those that there are.
    """
    if name not in STUDIES:
        known = "; ".join(f"{study} ({question})" for study, question in STUDIES.items())
        raise SettingsError(f"no study is called {name!r}; there are {known}")
    # Written out, so that the type checker holds each module against the protocol.
    study: Study
    if name == "short-memory":
        from carousel.study import short_memory as study
    elif name == "context-switch":
        from carousel.study import context_switch as study
    elif name == "going-back":
        from carousel.study import going_back as study
    else:
        from carousel.study import characters as study
    return study


def conduct_study(
    name: str, study: Study, arguments: Any, *, out: Path, console: Console
) -> dict[str, Any]:
    """Run a study, save its result, draw it and print it.

    Args:
        name: the study's name; its files go into a folder of this name in ``out``.
        study: its module.
        arguments: what ``study.run`` takes.
        out: the folder of all results.
        console: where tables and progress are printed.

    Returns:
        What ``study.run`` returned; ``results.json`` holds the same.
    """
    folder = out / name
    result = study.run(arguments, console)
    write_file(folder / "results.json", json.dumps(result, indent=1) + "\n")
    study.draw(result, folder)
    study.report(result, console)
    console.print(f"\nFigures and results.json: {folder}", highlight=False, soft_wrap=True)
    return result
