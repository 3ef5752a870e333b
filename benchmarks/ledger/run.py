"""Measure what the ledger costs: the same runs with it and with one in memory, alternating."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from emulator import emulator
from sides import say

_HERE = Path(__file__).parent
_SIDES = ("null", "real")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument(
        "--per-shard", type=int, default=6500, help="what the default packing makes"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the runs (default: temporary)")
    options = parser.parse_args()
    measured: dict[str, list[dict[str, Any]]] = {side: [] for side in _SIDES}
    for number in range(options.rounds):
        # Who goes first takes turns, so that what warms up favours neither.
        for side in _SIDES if number % 2 else reversed(_SIDES):
            measured[side].append(_run(side, options))
            one = measured[side][-1]
            say(f"round {number + 1}: {side} {one['seconds']:.2f} s, {one['cpu']:.2f} s of CPU")
    _table(measured)


def _run(side: str, options: argparse.Namespace) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="ledger-", dir=options.folder) as folder,
        emulator() as url,
    ):
        command = [sys.executable, str(_HERE / "side.py"), "--ledger", side, "--url", url]
        command += ["--folder", folder, "--shards", str(options.shards)]
        command += ["--per-shard", str(options.per_shard)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _table(measured: dict[str, list[dict[str, Any]]]) -> None:
    real = measured["real"]
    for name, unit in (("seconds", "s"), ("cpu", "s of CPU")):
        middle = {
            side: statistics.median(r[name] for r in rounds) for side, rounds in measured.items()
        }
        pairs = zip(measured["real"], measured["null"], strict=True)
        ratios = [ours[name] / theirs[name] for ours, theirs in pairs]
        span = f"{min(ratios):.3f} to {max(ratios):.3f}"
        say(
            f"real {middle['real']:.2f} {unit}, null {middle['null']:.2f} {unit}: "
            f"{statistics.median(ratios):.3f} x ({span})"
        )
    for name, whole in (("ledger_seconds", "seconds"), ("ledger_cpu", "cpu")):
        for side, rounds in measured.items():
            share = statistics.median(one[name] / one[whole] for one in rounds)
            say(f"{side}: {name} is {100 * share:.2f} % of {whole}")
    last = real[-1]
    calls = {name: round(count / last["shards"], 1) for name, count in last["calls"].items()}
    spent = {
        name: round(1000 * seconds / last["shards"], 2)
        for name, seconds in last["storage_seconds"].items()
    }
    say(f"{last['shards']} shards, {last['rows']} rows; storage calls a shard: {calls}")
    say(f"milliseconds of these a shard: {spent}")
    slow = sorted(last["methods"].items(), key=lambda entry: -entry[1])[:8]
    methods = {name: round(1000 * seconds / last["shards"], 2) for name, seconds in slow}
    say(f"milliseconds a shard by what was asked of the ledger: {methods}")


if __name__ == "__main__":
    main()
