"""The page as one HTML file: its modules, its style and the models stand in it.

Such a file opens from disk with the network off, and is as alive as the page: one can type into it
and hold gates. ``one_file.js`` makes the same file, byte for byte, from within the page.

All modules become one script (``script.py``), so that the policy of the file can name it by its
hash. (Modules as ``data:`` addresses would need a policy that allows every script that is written
as such an address.)
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from carousel.web.page_files import PRELOAD, without_picture
from carousel.web.script import without_comments, write_script

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
"""The files of a model folder that the page reads."""
DATA_FILES = ("words.json", "tour.json")
WORKER = "lens/reader_worker.js"
"""What a large model runs in, beside the page's own thread."""


def write_page(models: Mapping[str, Mapping[str, bytes]], link: str) -> str:
    """Write the page with models inside.

    Args:
        models: by the name that the page shows, the content of a model's ``MODEL_FILES``.
        link: what the page opens with, as it stands behind the ``#`` of its address.

    Returns:
        the text of the HTML file.
    """
    page = files("carousel.web")
    index, style, early = (
        (page / name).read_text("utf-8") for name in ("index.html", "style.css", "early.js")
    )
    script, early = write_script(), without_comments(early)
    data = [(name, _json_block((page / name).read_text("utf-8"))) for name in DATA_FILES]
    data += [
        ("models.json", _json_block(_compact({"models": list(models)}))),
        ("start.json", _json_block(_compact({"link": link}))),
    ]
    data.append((WORKER, write_script(WORKER)))
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
        '<meta charset="utf-8">\n': f'<meta charset="utf-8">\n{_policy([early, script], style)}',
        '<link rel="stylesheet" href="style.css">': f"<style>{style}</style>",
        '<script src="early.js"></script>': f"<script>{early}</script>",
        '  <script type="module" src="app.js"></script>\n': "",
        "</body>": f'{"".join(blocks)}<script type="module">{script}</script>\n</body>',
    }
    whole = PRELOAD.sub("", without_picture(index))
    for old, new in parts.items():
        before, found, after = whole.partition(old)
        assert found, f"index.html has no {old}"
        whole = before + new + after
    return whole


def _policy(scripts: Sequence[str], style: str) -> str:
    """What the file may do: run these scripts, use this style, show what it made itself.

    A worker is started from a ``blob:``, which only the file's own script can make.
    """

    def hash_of(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode()}'"

    policy = (
        f"default-src 'none'; script-src {' '.join(map(hash_of, scripts))}; "
        f"style-src {hash_of(style)}; "
        "img-src blob: data:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    return f'  <meta http-equiv="Content-Security-Policy" content="{policy}">\n'


def _compact(table: object) -> str:
    return json.dumps(table, ensure_ascii=False, separators=(",", ":"))


def _json_block(text: str) -> str:
    """JSON that can stand in HTML: no text in it ends the block."""
    return text.replace("<", "\\u003c")
