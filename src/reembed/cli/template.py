"""Parameters of a Flex Template as arguments of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reembed.errors import UsageError

COMMANDS: Final = ("plan", "submit", "advance", "run")
# Parameter to option; the rest of what a launcher gives is Beam's.
_OPTIONS: Final = {
    "run_dir": "--run-dir",
    "max_usd": "--max-usd",
    "sample": "--sample",
}
_KEYS: Final = {
    "api_key_secret": "service.api_key_secret",
    "lanes": "batch.lanes",
    "max_wait_hours": "batch.max_wait_hours",
}
PARAMETERS: Final = ("command", "config", *_OPTIONS, *_KEYS)
# Options that not every command has.
_NOT_FOR: Final = {"plan": ("max_usd",), "advance": ("sample",)}


def template_arguments(given: Sequence[str]) -> list[str]:
    """Turn ``--name=value`` parameters into a command, its options, ``--`` and Beam's options.

    An empty value counts as not given, since forms send those.

    Raises:
        UsageError: the command or the configuration is missing, or an option is not the command's.
    """
    own, beam = _sorted_out(given)
    command, config = own.pop("command", ""), own.pop("config", "")
    if command not in COMMANDS:
        raise UsageError(f"command: {command!r}: give one of {', '.join(COMMANDS)}")
    if not config:
        raise UsageError("config: give the place of a configuration, gs://bucket/name.yaml")
    arguments = [command, config]
    for name, value in own.items():
        if name in _NOT_FOR.get(command, ()):
            raise UsageError(f"{name}: not for {command}; leave it out")
        option = (
            [_OPTIONS[name], value] if name in _OPTIONS else ["--set", f"{_KEYS[name]}={value}"]
        )
        arguments += option
    return [*arguments, "--", *beam]


def _sorted_out(given: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    own: dict[str, str] = {}
    beam: list[str] = []
    for argument in given:
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and equals and name in PARAMETERS:
            own |= {name: value} if value.strip() else {}
        else:
            beam.append(argument)
    return own, beam
