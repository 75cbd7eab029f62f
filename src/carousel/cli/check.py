"""``carousel check``."""

from __future__ import annotations

import click

from carousel.cli.parameters import MODEL, as_json


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL", help="A model folder.")
@as_json
def check(model: str, as_json: bool) -> None:
    """Check every byte of a model folder against the hashes that were written with it.

    Opening a folder checks its form and that its files belong together. This command reads the
    weights, too, and finds a single bit that has changed on the disk. It ends with exit code 2
    where something is damaged.
    """
    from carousel.cli.output import print_facts, print_json, print_line
    from carousel.pretrained import find_folder
    from carousel.storage.model_folder import check_folder

    folder = find_folder(model)
    hashes = check_folder(folder)
    if as_json:
        print_json({"model": str(folder), "sha256": hashes})
        return
    absent = "no hash: made by an older version"
    print_facts([(name, digest or absent) for name, digest in hashes.items()])
    print_line(
        f"{folder} is whole."
        if all(hashes.values())
        else f"{folder} opens. Only its form could be checked."
    )
