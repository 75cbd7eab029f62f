"""For mkdocstrings: the examples of our docstrings, as Markdown has them.

A docstring shows code after a line that ends with ``::``, indented, as Python's own docs do.
Markdown wants a fence around it.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^(?P<before>[^\n]*)::\n\n?(?P<code>(?:[ ]{4}[^\n]*\n|\n)+)", re.MULTILINE)


def with_fences(docstring: str) -> str:
    """Return a docstring with its examples in fences."""

    def fence(found: re.Match[str]) -> str:
        code = re.sub(r"^ {4}", "", found["code"].strip("\n"), flags=re.MULTILINE)
        before = f"{found['before']}:\n\n" if found["before"] else ""
        return f"{before}```python\n{code}\n```\n\n"

    return EXAMPLE.sub(fence, docstring + "\n").rstrip("\n")


class DocstringExamples(griffe.Extension):
    """Puts a fence around each example."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = with_fences(obj.docstring.value)
