"""The rich console of the commands. Importing it loads rich, which quick commands do without."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """A console that reports a reader who has gone as ``BrokenPipeError``, as ``print`` does."""

    def on_broken_pipe(self) -> None:
        """Raise the error that is at hand, where rich would exit with 1."""
        raise
