"""The page as one HTML file: its modules, its style and the models stand in it.

Such a file opens from disk with the network off, and is as alive as the page: one can type into it
and hold gates. ``one_file.js`` makes the same file, byte for byte, from within the page.

All modules become one script, each in a function of its own, so that the policy of the file can
name it by its hash. (Modules as ``data:`` addresses would need a policy that allows every script
that is written as such an address.)
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import PurePosixPath

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""The files of a model folder that the page reads."""
DATA_FILES = ("words.json", "tour.json")

IMPORT = re.compile(r"^import \{([^}]*)\} from '(\.[^']+)';\n", re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
PRELOAD = re.compile(r' *<link rel="modulepreload" href="[^"]+">\n')


def write_page(models: Mapping[str, Mapping[str, bytes]], link: str) -> str:
    """Write the page with models inside.

    Args:
        models: by the name that the page shows, the content of a model's ``MODEL_FILES``.
        link: what the page opens with, as it stands behind the ``#`` of its address.

    Returns:
        the text of the HTML file.
    """
    page = files("carousel.web")
    texts = {name: (page / name).read_text("utf-8") for name in ("index.html", "style.css")}
    script, style = write_script(), texts["style.css"]
    picture = base64.b64encode((page / "first.svg").read_bytes()).decode()
    data = [(name, _json_block((page / name).read_text("utf-8"))) for name in DATA_FILES]
    data += [
        ("models.json", _json_block(_compact({"models": list(models)}))),
        ("start.json", _json_block(_compact({"link": link}))),
    ]
    for name, contents in models.items():
        data += [
            (f"models/{name}/{file}", base64.b64encode(contents[file]).decode())
            for file in MODEL_FILES
        ]
    blocks = [
        f'<script type="text/plain" id="file:{html.escape(name)}">{content}</script>\n'
        for name, content in data
    ]
    parts = {
        '<meta charset="utf-8">\n': f'<meta charset="utf-8">\n{_policy(script, style)}',
        '<link rel="stylesheet" href="style.css">': f"<style>{style}</style>",
        '  <script type="module" src="app.js"></script>\n': "",
        'src="first.svg"': f'src="data:image/svg+xml;base64,{picture}"',
        "</body>": f'{"".join(blocks)}<script type="module">{script}</script>\n</body>',
    }
    whole = PRELOAD.sub("", texts["index.html"])
    for old, new in parts.items():
        before, found, after = whole.partition(old)
        assert found, f"index.html has no {old}"
        whole = before + new + after
    return whole


def write_script() -> str:
    """Put the page's modules into one script, each after those that it imports."""
    names: list[str] = []
    written = []
    for name, text in _in_order("app.js", set()):
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


def _in_order(name: str, seen: set[str]) -> Iterable[tuple[str, str]]:
    """The modules that a module needs, lowest first, and itself: their names and texts."""
    if name in seen:
        return
    seen.add(name)
    text = (files("carousel.web") / name).read_text("utf-8")
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


def _policy(script: str, style: str) -> str:
    """What the file may do: run this script, use this style, show pictures that it made itself."""

    def hash_of(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    policy = (
        f"default-src 'none'; script-src '{hash_of(script)}'; style-src '{hash_of(style)}'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )
    return f'  <meta http-equiv="Content-Security-Policy" content="{policy}">\n'


def _compact(table: object) -> str:
    return json.dumps(table, ensure_ascii=False, separators=(",", ":"))


def _json_block(text: str) -> str:
    """JSON that can stand in HTML: no text in it ends the block."""
    return text.replace("<", "\\u003c")
