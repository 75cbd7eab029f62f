"""The page's modules as one script, without their comments.

The modules are written to be read: a browser that loads the page needs no comments, and one request
instead of fifty. Nothing is built beforehand: the script is put together when it is asked for, so
that one can edit a module and reload the page. ``one_file.js`` does the same in the browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import PurePosixPath

IMPORT = re.compile(r"^import \{([^}]*)\} from '(\.[^']+)';\n", re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|^[ \t]*//[^\n]*", re.MULTILINE | re.DOTALL)
BLANK = re.compile(r"^[ \t]*\n|^[ \t]+", re.MULTILINE)


def write_script(entry: str = "app.js") -> str:
    """Put a module and all that it needs into one script, each after those that it imports.

    Args:
        entry: the module that is run last.

    Returns:
        the script: each module is a function that is called at once and returns its exports.
    """
    names: list[str] = []
    written = []
    for name, text in _in_order(entry, set()):
        names.append(name)
        exported = [match[2] for match in EXPORT.finditer(text)]
        imports = ""
        for match in IMPORT.finditer(text):
            number = names.index(_resolve(name, match[2]))
            imports += f"const {{{match[1].replace(' as ', ': ')}}} = m{number};\n"
        body = imports + EXPORT.sub(r"\1", IMPORT.sub("", text))
        if exported:
            end = f"return {{ {', '.join(exported)} }};\n"
            body = f"const m{len(names) - 1} = (() => {{\n{body}{end}}})();\n"
        written.append(f"// {name}\n{body}")
    return "".join(written)


def without_comments(text: str) -> str:
    """A module without its comments, blank lines and indentation.

    A comment stands in ``/* */``, or begins its line with ``//``; no text of the page's modules
    holds ``/*``, and none goes over several lines.

    Args:
        text: the module's text.

    >>> without_comments("/** Why. */ const a = 1;")
    'const a = 1;'
    """
    return BLANK.sub("", COMMENT.sub("", text))


def _in_order(name: str, seen: set[str]) -> Iterable[tuple[str, str]]:
    """The modules that a module needs, lowest first, and itself: their names and texts."""
    if name in seen:
        return
    seen.add(name)
    text = without_comments((files("carousel.web") / name).read_text("utf-8"))
    for match in IMPORT.finditer(text):
        yield from _in_order(_resolve(name, match[2]), seen)
    yield name, text


def _resolve(module: str, address: str) -> str:
    """The module that ``'../model/cells.js'`` means in another one."""
    parts = list(PurePosixPath(module).parent.parts)
    for part in address.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
