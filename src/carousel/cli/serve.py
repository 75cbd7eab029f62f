"""``carousel serve``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from carousel.cli.parameters import COUNT, MODEL, NUMBER, PATH


@click.command()
@click.argument(
    "models",
    metavar="MODEL...",
    type=MODEL,
    nargs=-1,
    required=True,
    help="Model folders, or models that come with Carousel. The first one answers requests that "
    "name none.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    metavar="N",
    help="The port; 0 for one that is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that answer; they share the weights. With more than one, clients keep their "
    "sessions.",
)
@click.option(
    "--adapt",
    type=click.Choice(["cache"]),
    help="Have each session, and each text of a request, remember its last words, so that they "
    "become likelier.",
)
@click.option(
    "--api-key-file",
    type=PATH,
    metavar="FILE",
    help="Keys of which clients must send one (Authorization: Bearer KEY), one a line.",
)
@click.option(
    "--session-key-file",
    type=PATH,
    metavar="FILE",
    help="Secrets that sign the sessions that clients keep, one a line, the newest last. Servers "
    "with the same file and model can continue each other's sessions.",
)
@click.option(
    "--max-sessions",
    type=COUNT,
    default=10_000,
    show_default=True,
    help="Sessions that the server keeps; then the oldest go.",
)
@click.option(
    "--session-minutes",
    type=NUMBER,
    default=60,
    show_default=True,
    help="How long a session lives without being used.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="A web site whose pages may send requests, such as https://example.com. May be repeated.",
)
@click.option("--no-access-log", is_flag=True, help="Write no line for each request.")
def serve(
    models: Sequence[str],
    host: str,
    port: int,
    workers: int,
    adapt: Literal["cache"] | None,
    api_key_file: Path | None,
    session_key_file: Path | None,
    max_sessions: int,
    session_minutes: float,
    cors_origins: Sequence[str],
    no_access_log: bool,
) -> None:
    """Serve models over HTTP: OpenAI's completions, next words, and sessions that remember.

    The server answers on this machine alone, unless --host says otherwise. The page is at /, the
    description of all requests at /openapi.json.
    """
    from carousel.cli.needs import need_server
    from carousel.errors import SettingsError

    need_server()
    if not 0 < session_minutes <= 525_600:
        raise SettingsError(f"--session-minutes must be above 0, not {session_minutes}")
    from carousel.serve.app import ServerSettings
    from carousel.serve.server import serve as run_server

    run_server(
        ServerSettings(
            models=tuple(models),
            host=host,
            port=port,
            workers=workers,
            adapt=adapt,
            api_key_file=api_key_file,
            session_key_file=session_key_file,
            max_sessions=int(max_sessions),
            session_seconds=60 * session_minutes,
            cors_origins=tuple(cors_origins),
            access_log=not no_access_log,
        )
    )
