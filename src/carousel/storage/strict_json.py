"""JSON in which nothing is named twice."""

from __future__ import annotations

import json
from typing import Any

from carousel.errors import FolderError


def parse_json(text: str | bytes, where: str) -> Any:
    """What a JSON text holds.

    Args:
        text: the JSON.
        where: what an error calls the file.

    Raises:
        FolderError: the text is no JSON, or a key is in an object twice.

    >>> parse_json('{"layers": 2}', "config.json")
    {'layers': 2}
    """

    def to_table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            raise FolderError(f"{where} names the same thing twice")
        return table

    try:
        return json.loads(text, object_pairs_hook=to_table)
    except (ValueError, RecursionError):
        raise FolderError(f"{where} is not JSON, or is cut short") from None
