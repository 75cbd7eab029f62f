"""JSON that says everything once."""

from __future__ import annotations

import json
from typing import Any

from carousel.errors import FolderError


def parse_json(text: str | bytes, where: str) -> Any:
    """JSON without duplicate keys.

    Raises:
        FolderError: anything else.
    """

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise FolderError(f"{where} names the same thing twice")
        return made

    try:
        return json.loads(text, object_pairs_hook=table)
    except (ValueError, RecursionError):
        raise FolderError(f"{where} is not JSON, or is cut short") from None
