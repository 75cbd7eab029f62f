"""Commands that start quickly: typer checks values with pydantic, which takes long to load.

A value that is of its parameter's type already (a text where text is wanted, a default) needs no
check. All others go the usual way. Where typer knows no such thing as ``_runtime_param``, as other
versions do not, nothing is changed.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class QuickCommand(TyperCommand):
    """A command that loads pydantic only for values that are to be converted."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, ``--help`` among them."""
        return _quick(super().get_params(ctx))


class QuickGroup(TyperGroup):
    """The same for what stands before the command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, ``--help`` among them."""
        return _quick(super().get_params(ctx))


def _quick(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "_runtime_param", param) is None:
            param._runtime_param = _Quick()
    return params


class _Quick:
    """Stands in for typer's own conversion, until that is needed."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs == -1
        wanted = param.type_descriptor.annotation
        if value is None:
            return () if several else None
        if wanted in (str, int, float) and type(value) is wanted:
            return value
        if (
            wanted == list[str]
            and isinstance(value, list | tuple)
            and all(type(entry) is str for entry in value)
        ):
            return list(value)
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
