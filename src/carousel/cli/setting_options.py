"""Command-line flags made from the settings of a training run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from carousel.cli.parameters import NUMBER, TEXT, WHOLE
from carousel.training.defaults import CHOSEN
from carousel.training.settings import RENAMED, Setting, describe_settings

Function = TypeVar("Function", bound=Callable[..., Any])


def setting_options(function: Function) -> Function:
    """Add a flag for every setting, with its docstring as the help, to a command's function.

    A setting that was renamed keeps its old flag, which the help does not show. A flag that is not
    given is None.
    """
    old_names = {new: old for old, new in RENAMED.items()}
    for setting in reversed(describe_settings()):
        function = _option(setting, setting.name, hidden=False)(function)
        if setting.name in old_names:
            function = _option(setting, old_names[setting.name], hidden=True)(function)
    return function


def _option(setting: Setting, name: str, *, hidden: bool) -> Callable[[Function], Function]:
    flag = "--" + name.replace("_", "-")
    if setting.type is bool:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
        return click.option(flag, name, default=None, help=_help(setting), hidden=hidden)
    kind: Any = {int: WHOLE, float: NUMBER}.get(setting.type, TEXT)
    metavar = "NAME" if setting.type is str else None

    def complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
        return [choice for choice in setting.choices if choice.startswith(typed)]

    return click.option(
        flag,
        name,
        type=kind,
        metavar=metavar,
        help=_help(setting),
        hidden=hidden,
        shell_complete=complete if setting.choices else None,
    )


def _help(setting: Setting) -> str:
    if setting.name in CHOSEN:
        return f"{setting.help}  [default: chosen for the text]"
    if setting.default is None:
        return setting.help
    default = str(setting.default).lower() if setting.type is bool else setting.default
    return f"{setting.help}  [default: {default}]"
