"""``carousel page``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from carousel.cli.parameters import MODEL


@click.command()
@click.argument(
    "model_names",
    metavar="[MODEL]...",
    type=MODEL,
    nargs=-1,
    help="Model folders; without any, the models that come with Carousel.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="The port of the server. Without it, or with 0: one that is free.",
)
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def page(model_names: Sequence[str], port: int, no_browser: bool) -> None:
    """Open the page: type a sentence, hold a gate, see the next word change.

    The page reads the models in the browser. Nothing is sent anywhere: the server answers on this
    machine alone, until Ctrl-C.
    """
    serve_page(model_names, port, open_browser=not no_browser)


def serve_page(model_names: Sequence[str], port: int = 0, *, open_browser: bool = True) -> None:
    """Hand out the page on models until Ctrl-C.

    Args:
        model_names: model folders, or names of pretrained models; none for all of these.
        port: the server's port; 0 for a free one.
        open_browser: open the page in a browser, too.

    Raises:
        SettingsError: the port can't be used.
    """
    import webbrowser
    from pathlib import Path

    from carousel.errors import SettingsError
    from carousel.model import LanguageModel
    from carousel.pretrained import DEFAULT, ENGLISH, pretrained_models
    from carousel.web.static_server import StaticServer

    # The first model is the one that the page opens with.
    names = model_names or sorted(
        pretrained_models(), key=lambda name: (name != DEFAULT, name == ENGLISH, name)
    )
    folders: dict[str, Path] = {}
    arguments: dict[str, str] = {}
    for name in names:
        folder = LanguageModel.load(name).path
        assert folder is not None  # a loaded model has one
        shown = folder.resolve().name
        shown = name if shown in folders else shown
        folders[shown], arguments[shown] = folder, name
    try:
        server = StaticServer(folders, port, arguments)
    except OSError as error:
        raise SettingsError(
            f"port {port} can't be used: {error.strerror}; leave --port out"
        ) from None
    with server:
        print(f"{server.address} (Ctrl-C ends it)", flush=True)
        if open_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
