"""Serve the emulator from the command line: `python -m reembed_emulator --port N`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reembed_emulator.server import run_emulator
from reembed_emulator.settings import EmulatorSettings


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; return 2 for an impossible setting or a port that is taken."""
    parser = argparse.ArgumentParser(prog="python -m reembed_emulator", description=__doc__)
    defaults = EmulatorSettings()
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port)
    parser.add_argument("--state", type=Path, dest="state_dir", help="kept between runs")
    parser.add_argument("--faults", type=Path, help="a YAML or JSON file with faults to inject")
    parser.add_argument("--fast-vectors", action="store_true", help="prerendered vectors")
    for name in ("pending_seconds", "running_seconds", "list_lag_seconds"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=float, default=getattr(defaults, name))
    for name in ("concurrent_jobs", "enqueued_tokens", "file_storage_bytes"):
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=getattr(defaults, name))
    given = vars(parser.parse_args(arguments))
    try:
        run_emulator(EmulatorSettings(**given), _announce)
    except (ValueError, OSError) as err:
        sys.stderr.write(f"emulator: {err}\n")
        return 2
    return 0


def _announce(base_url: str) -> None:
    sys.stdout.write(f"emulator at {base_url}; vectors are lexical, no model's\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
