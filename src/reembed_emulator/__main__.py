"""Command line of the emulator: `python -m reembed_emulator --port N`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reembed_emulator.server import run_emulator
from reembed_emulator.settings import EmulatorSettings, load_settings


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return 2 for an invalid setting or a port in use."""
    options = vars(_parser().parse_args(arguments))
    try:
        run_emulator(load_settings(options), _announce)
    except (ValueError, OSError) as err:
        sys.stderr.write(f"emulator: {err}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reembed_emulator", description=__doc__)
    defaults = EmulatorSettings()
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port, help="0 takes a free port")
    parser.add_argument("--state", type=Path, dest="state_dir", help="folder kept between runs")
    parser.add_argument("--faults", type=Path, help="YAML or JSON file with faults to inject")
    parser.add_argument("--fast-vectors", action="store_true", help="prerendered vectors")
    for name in ("pending_seconds", "running_seconds", "list_lag_seconds"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=float, default=getattr(defaults, name))
    for name in ("concurrent_jobs", "enqueued_tokens", "file_storage_bytes"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=getattr(defaults, name))
    return parser


def _announce(base_url: str) -> None:
    # Scripts wait for this line and take the URL from it, so it must not stay in a buffer.
    sys.stdout.write(f"emulator at {base_url} (lexical vectors; no model is used)\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
