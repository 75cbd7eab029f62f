"""The group of all commands. A command's module is imported when that command is asked for."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword

import click

from carousel import __version__

COMMANDS = (
    "demo", "page", "train", "predict", "generate", "evaluate", "score", "tune", "info", "explain",
    "compare", "phrases", "stories", "study", "import", "export", "quantize", "check", "serve",
    "cache",
)  # fmt: skip
"""The names of the commands. Each is a ``click.Command`` in a module of its name (``import_``
where the name is a keyword of Python)."""


class LazyGroup(click.Group):
    """A group that imports no command but the one it runs."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return the command of a name, or None."""
        if name not in COMMANDS:
            return None
        module_name = f"{name}_" if iskeyword(name) else name
        command: click.Command = getattr(import_module(f"carousel.cli.{module_name}"), module_name)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the first sentence of its help, whole and wrapped."""
        rows = []
        for name in self.list_commands(context):
            command = self.get_command(context, name)
            assert command is not None
            summary = (command.help or "").split("\n\n")[0]
            rows.append((name, " ".join(summary.split())))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Completion in the shell: put this line into ~/.bashrc (for zsh or fish, zsh_source or "
    'fish_source): eval "$(_CAROUSEL_COMPLETE=bash_source carousel)"',
)
@click.version_option(__version__, message="carousel %(version)s", help="Print the version.")
@click.pass_context
def carousel(context: click.Context) -> None:
    """Train, run and look inside recurrent next-word models."""
    if context.invoked_subcommand is None:
        print(context.get_help())
