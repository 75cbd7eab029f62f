"""``carousel page``."""

from __future__ import annotations

from typing import Annotated

import typer


def page(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL...]", help="Model folders; the shipped story models if none."
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for a free one.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address and open no browser.")
    ] = False,
) -> None:
    """Open the page: type a sentence, hold a gate, see the next word change.

    The page reads the models in the browser. Nothing is sent anywhere: the server answers on this
    machine alone, until Ctrl-C.
    """
    import webbrowser
    from pathlib import Path

    from carousel.errors import SettingsError
    from carousel.model import DEFAULT, LanguageModel, shipped_models
    from carousel.web.static_server import StaticServer

    # The first model is the one that the page opens with.
    names = models or sorted(shipped_models(), key=lambda name: name != Path(DEFAULT).name)
    folders: dict[str, Path] = {}
    for name in names:
        folder = LanguageModel.load(name).path
        assert folder is not None  # a loaded model has one
        shown = folder.resolve().name
        folders[name if shown in folders else shown] = folder
    try:
        server = StaticServer(folders, port)
    except OSError as error:
        raise SettingsError(
            f"port {port} can't be used: {error.strerror}; leave --port out"
        ) from None
    with server:
        print(f"{server.address} (Ctrl-C ends it)", flush=True)
        if not no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
