"""The API reference: a Markdown page of the public names, from their signatures and docstrings."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

SECTIONS = ("Args:", "Returns:", "Yields:", "Raises:", "Warns:")
"""The headings of a docstring's parts. What they list is indented."""
WIDTH = 88
"""Columns of a signature; a longer one has an argument a line."""


def reference(package: ModuleType) -> str:
    """Return the page of the names in ``package.__all__``: functions, classes, then errors."""
    public = {name: getattr(package, name) for name in package.__all__ if name[0] != "_"}
    functions = {name: item for name, item in public.items() if inspect.isroutine(item)}
    classes = {name: item for name, item in public.items() if inspect.isclass(item)}
    errors = {name: item for name, item in classes.items() if issubclass(item, Exception)}
    parts = [f"# API reference\n\nThe public names of `{package.__name__}`."]
    parts += ["## Functions", *(_function(name, item) for name, item in functions.items())]
    parts.append("## Classes")
    parts += [_class(name, item) for name, item in classes.items() if name not in errors]
    parts += ["## Errors and warnings", *(_error(name, item) for name, item in errors.items())]
    return "\n\n".join(parts) + "\n"


def to_markdown(docstring: str) -> str:
    """Return a docstring as Markdown: lists for its sections, blocks for its examples."""
    return "\n\n".join(_blocks(inspect.cleandoc(docstring).split("\n")))


def signature(name: str, function: Callable[..., Any]) -> str:
    """Return ``name(arguments) -> result`` as it is written in the code, without ``self``."""
    shape = inspect.signature(function)
    parameters = [p for p in shape.parameters.values() if p.name not in ("self", "cls")]
    written = [_parameter(parameter) for parameter in _with_star(parameters)]
    result = shape.return_annotation
    arrow = "" if result is shape.empty else f" -> {result}"
    line = f"{name}({', '.join(written)}){arrow}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in written) + f"){arrow}"


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the text under each annotated field or attribute of a class, by its name."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    found = {}
    for scope in ast.walk(body):
        statements = scope.body if isinstance(scope, ast.ClassDef | ast.FunctionDef) else []
        for statement, text in itertools.pairwise(statements):
            if not isinstance(text, ast.Expr) or not isinstance(text.value, ast.Constant):
                continue
            if isinstance(statement, ast.AnnAssign | ast.Assign):
                target = statement.target if isinstance(statement, ast.AnnAssign) else (
                    statement.targets[0]
                )  # fmt: skip
                name = ast.unparse(target).removeprefix("self.")
                if name.isidentifier() and name[0] != "_" and isinstance(text.value.value, str):
                    found[name] = text.value.value
    return found


def _function(name: str, function: Callable[..., Any], level: str = "###") -> str:
    heading = f"{level} `{name}`\n\n```python\n{signature(name.split('.')[-1], function)}\n```"
    return f"{heading}\n\n{to_markdown(function.__doc__ or '')}"


def _class(name: str, cls: type) -> str:
    parts = [f"### `{name}`", to_markdown(cls.__doc__ or "")]
    fields = field_docstrings(cls)
    if fields:
        listed = (f"- `{field}`: {_inline(text)}" for field, text in fields.items())
        parts.append("Attributes:\n\n" + "\n".join(listed))
    for member, value in vars(cls).items():
        if member[0] == "_" or member in fields:
            continue
        described = inspect.unwrap(getattr(value, "__func__", value))
        if isinstance(value, property) and value.__doc__:
            parts.append(f"#### `{name}.{member}`\n\n{to_markdown(value.__doc__)}")
        elif inspect.isfunction(described) and described.__doc__:
            parts.append(_function(f"{name}.{member}", described, "####"))
    return "\n\n".join(parts)


def _error(name: str, error: type) -> str:
    bases = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
    return f"### `{name}`\n\n{to_markdown(error.__doc__ or '')} It is also {bases}."


def _blocks(lines: list[str]) -> Iterator[str]:
    """The blocks of a docstring: paragraphs, examples, literal blocks and sections."""
    at = 0
    while at < len(lines):
        end = at + 1
        if not lines[at].strip():
            at = end
        elif lines[at] in SECTIONS:
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
                end += 1
            yield _section(lines[at], lines[at + 1 : end])
            at = end
        elif lines[at].startswith(">>>"):
            while end < len(lines) and lines[end].strip():
                end += 1
            yield "```pycon\n" + "\n".join(lines[at:end]) + "\n```"
            at = end
        elif lines[at].rstrip().endswith("::"):
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
                end += 1
            code = textwrap.dedent("\n".join(lines[at + 1 : end])).strip("\n")
            before = lines[at].rstrip().removesuffix("::")
            yield (f"{_inline(before)}:\n\n" if before else "") + f"```python\n{code}\n```"
            at = end
        else:
            while end < len(lines) and lines[end].strip() and not lines[end].endswith("::"):
                end += 1
            listed = any(line.startswith("- ") for line in lines[at:end])
            text = "\n".join(lines[at:end])
            yield text.replace("``", "`") if listed else _inline(text)
            at = end


def _section(heading: str, lines: list[str]) -> str:
    text = textwrap.dedent("\n".join(lines)).strip()
    if heading in ("Returns:", "Yields:"):
        return f"{heading} {_inline(text)}"
    entries = re.split(r"\n(?=\S)", text)
    listed = []
    for entry in entries:
        name, colon, meaning = entry.partition(": ")
        words = name if not colon else ", ".join(f"`{word.strip()}`" for word in name.split(","))
        listed.append(f"- {words}{colon}{_inline(meaning)}")
    title = "Arguments:" if heading == "Args:" else heading
    return f"{title}\n\n" + "\n".join(listed)


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


def _parameter(parameter: inspect.Parameter | str) -> str:
    if isinstance(parameter, str):
        return parameter
    annotation = parameter.annotation
    written = parameter.name
    if parameter.kind is parameter.VAR_POSITIONAL:
        written = f"*{written}"
    if annotation is not parameter.empty:
        written += f": {annotation if isinstance(annotation, str) else annotation.__name__}"
    if parameter.default is not parameter.empty:
        default = parameter.default
        written += f" = {default!r}" if not isinstance(default, str) else f' = "{default}"'
    return written


def _with_star(parameters: list[inspect.Parameter]) -> Iterator[inspect.Parameter | str]:
    starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield parameter
