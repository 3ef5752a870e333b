"""Commands of other packages: entry points of the group `reembed.commands`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from reembed.cli.exits import exit_with
from reembed.registry import find_added, names_added

GROUP = "reembed.commands"


class WithAddedCommands(TyperGroup):
    """Built-in commands, then those of other packages; a built-in name cannot be taken.

    Other packages are looked for only when a name is not built in, or all are listed: reading
    the metadata of every installed package would slow down each command.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all commands, for ``--help``."""
        built_in = list(super().list_commands(ctx))
        return [*built_in, *(name for name in names_added(GROUP) if name not in built_in)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name; None: there is none."""
        return super().get_command(ctx, cmd_name) or _find_command(cmd_name)


def _find_command(name: str) -> Any:
    function = find_added(GROUP, name)
    if not callable(function):
        return None
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(_with_exit_code(function))
    return get_command(single)


def _with_exit_code(function: Callable[..., int | None]) -> Callable[..., None]:
    """End with the function's exit code, and turn errors into exit codes as everywhere."""

    @functools.wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        exit_with(lambda: function(*arguments, **options) or 0)

    return command
