"""The command line: one thin module a command, which parses, calls and prints."""

from carousel.cli.entry import main, run
from carousel.cli.group import COMMANDS

__all__ = ["COMMANDS", "main", "run"]
