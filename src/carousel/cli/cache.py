"""``carousel cache``."""

from __future__ import annotations

import click

from carousel.cli.parameters import as_json


@click.command()
@click.option("--clear", is_flag=True, help="Delete what is kept.")
@as_json
def cache(clear: bool, as_json: bool) -> None:
    """List or delete the tokenized copies of texts that training and evaluation keep.

    They make the next run on the same text start at once. They hold the whole text, as token ids.
    The environment variable CAROUSEL_CACHE names another folder for them.
    """
    from dataclasses import asdict

    from carousel.cli.output import print_json, print_line
    from carousel.text.cache import clear_cache, list_cache
    from carousel.text.corpus import default_cache

    folder = default_cache()
    entries = clear_cache(folder) if clear else list_cache(folder)
    total = sum(entry.bytes for entry in entries)
    if as_json:
        print_json({"folder": str(folder), "cleared": clear, "entries": list(map(asdict, entries))})
        return
    for entry in entries:
        print_line(f"{entry.name}  {entry.bytes:>15,} bytes  {entry.written}")
    count = f"{len(entries)} text{'' if len(entries) == 1 else 's'}"
    print_line(f"{'Deleted' if clear else 'Kept'}: {count}, {total:,} bytes, in {folder}")
