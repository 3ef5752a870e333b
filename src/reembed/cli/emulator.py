"""`reembed emulator`: serve the service on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import typer
import yaml

from reembed.errors import UsageError
from reembed_emulator.server import run_emulator
from reembed_emulator.settings import EmulatorSettings, load_settings


def emulator_command(
    host: str, port: int, state: Path | None, faults: Path | None, given: Sequence[str]
) -> int:
    """Serve until interrupted."""
    settings = _settings(host, port, state, faults, given)

    def ready(base_url: str) -> None:
        typer.echo(f"reembed emulator at {base_url} (lexical vectors; no model is used)")

    try:
        run_emulator(settings, ready)
    except (ValueError, yaml.YAMLError) as err:
        raise UsageError(f"{faults or state}: {' '.join(str(err).split())}") from err
    except OSError as err:
        if err.filename is not None:
            raise UsageError(f"{err.filename}: {err.strerror}; see --faults and --state") from err
        raise UsageError(f"cannot listen on {host}:{port}: {err.strerror}; give --port") from err
    return 0


def _settings(
    host: str, port: int, state: Path | None, faults: Path | None, given: Sequence[str]
) -> EmulatorSettings:
    known = {field.name for field in fields(EmulatorSettings)}
    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"--set {text}: give NAME=VALUE with one of {', '.join(sorted(known))}"
            )
        values[name] = yaml.safe_load(value)
    fixed = {"host": host, "port": port, "state_dir": state, "faults": faults}
    try:
        return load_settings({**values, **fixed})
    except ValueError as err:
        raise UsageError(str(err)) from err
