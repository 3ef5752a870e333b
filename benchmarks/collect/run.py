"""Measure collecting side by side: one server, each side in its own process, rounds interleaved."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import DIMENSIONS
from render import render

_HERE = Path(__file__).parent
_SIDES = ("cookbook", "streaming", "product")
# What the default packing (256 MB of predicted result) makes of 3,072 values.
_PER_SHARD = 6500


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="collect-", dir=options.folder) as name:
        folder = Path(name)
        _say(f"rendering {options.vectors} vectors of {options.dimensions} values, twice")
        render(folder, options.vectors, options.dimensions, options.per_shard)
        measured: dict[str, list[dict[str, Any]]] = {side: [] for side in options.sides}
        with _server(folder) as url:
            for number in range(options.rounds):
                for side in options.sides:
                    measured[side].append(_run(side, url, folder, options))
                    rate = options.vectors / measured[side][-1]["seconds"]
                    _say(f"round {number + 1}: {side} {rate:.0f} vectors/s")
    _table(measured)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=DIMENSIONS)
    parser.add_argument("--per-shard", type=int, default=_PER_SHARD)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=_SIDES, default=list(_SIDES))
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    return parser.parse_args()


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    command = [sys.executable, str(_HERE / "server.py"), str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=_pin(0)
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _run(side: str, url: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(_HERE / f"{side}.py"), "--url", url, "--folder", str(folder)]
    for name in ("vectors", "dimensions", "per_shard"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, preexec_fn=_pin(-1))
    report: dict[str, Any] = json.loads(done.stdout)
    if report["vectors"] != options.vectors:
        raise RuntimeError(f"{side} wrote {report['vectors']} of {options.vectors} vectors")
    return report


def _pin(place: int) -> Any:
    """Keep the server and the sides on different cores, each side on one."""
    core = sorted(os.sched_getaffinity(0))[place]
    return lambda: os.sched_setaffinity(0, {core})


def _table(measured: dict[str, list[dict[str, Any]]]) -> None:
    middle = {
        side: {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
        for side, rounds in measured.items()
    }
    _say("\nmedians of the rounds; peak and before: memory of the process, before: at the start")
    _say("side       vectors/s  cpu us/vector  peak MB  before MB  bytes/vector")
    for side, values in middle.items():
        count = values["vectors"]
        _say(
            f"{side:10} {count / values['seconds']:9.0f} {values['cpu'] / count * 1e6:14.1f}"
            f" {values['peak_bytes'] / 1e6:8.0f} {values['before_bytes'] / 1e6:10.0f}"
            f" {values['output_bytes'] / count:13.0f}"
        )
    for other in ("streaming", "cookbook"):
        if "product" in middle and other in middle:
            pairs = zip(measured["product"], measured[other], strict=True)
            ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]
            cpu = middle[other]["cpu"] / middle["product"]["cpu"]
            span = f"{min(ratios):.2f} to {max(ratios):.2f}"
            middling = statistics.median(ratios)
            _say(f"product / {other}: {middling:.2f} x in time ({span}), {cpu:.2f} x in cpu")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
