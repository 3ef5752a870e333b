"""Kill at every request and every write, resume, compare: `./scripts/kills --fast`."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path

from kills.bench import all_cases, benches
from kills.cases import Case, Verdict
from kills.scenarios import SCENARIOS

_SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Parse the options, run, and say what was found; 1 when something did not hold."""
    options = _options()
    place = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="reembed-kills-", dir=options.dir or place))
    names = [name for name in SCENARIOS if re.search(options.scenarios, name)]
    began, verdicts = time.monotonic(), list[Verdict]()
    with benches(folder, options.workers, names) as made:
        cases, first = all_cases(made, options.fast, lambda case: _is_wanted(case, options))
        chosen = [case for group in cases.values() for case in group][:: options.every]
        print(f"{len(chosen)} cases", file=sys.stderr)
        for verdict in chain(first, made.run(chosen)):
            verdicts.append(verdict)
            print(_row(verdict), flush=True)
    print(_figures(verdicts, time.monotonic() - began))
    if any(verdict.problems for verdict in verdicts):
        print(f"what the broken ones left is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/kills", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="lanes without Beam, not the command")
    parser.add_argument("--points", default="", help="only points that match, as printed")
    parser.add_argument("--scenarios", default="", help=f"only these, of {', '.join(SCENARIOS)}")
    parser.add_argument("--only", choices=("requests", "writes"), help="one of the two")
    parser.add_argument("--workers", type=int, default=4, help="cases at once (default: 4)")
    parser.add_argument("--every", type=int, default=1, help="only every n-th case (default: all)")
    parser.add_argument("--dir", type=Path, help="where to work (default: shared memory)")
    return parser.parse_args()


def _is_wanted(case: Case, options: argparse.Namespace) -> bool:
    what = case.points[-1].what
    named = re.search(options.points, str(case)) is not None
    return named and options.only in (None, f"{what}s")


def _row(verdict: Verdict) -> str:
    """Point × killed × calls × jobs × paid twice × lost × output same."""
    case, names = verdict.case, verdict.paid.jobs
    twins = f" ({len(verdict.paid.twins)} twice)" if verdict.paid.twins else ""
    same = "same" if not any(p.kind == "other output" for p in verdict.problems) else "OTHER"
    line = (
        f"{case!s:62} {'killed' if verdict.reached and case.points else '-':7}"
        f"calls {verdict.calls}  jobs {sum(names.values())}{twins}  "
        f"paid twice {verdict.paid.twice}  lost {verdict.lost}  output {same}"
    )
    return "\n".join([line, *(f"    {problem}" for problem in verdict.problems)])


def _figures(verdicts: list[Verdict], seconds: float) -> str:
    killed = [v for v in verdicts if v.reached and v.case.points]
    broken = sum(1 for v in verdicts if v.problems)
    other = sum(1 for v in verdicts for p in v.problems if p.kind == "other output")
    sides = Counter((v.case.points[-1].kind, v.case.points[-1].how) for v in killed)
    return (
        f"{len(killed)} cases killed at {len(sides)} kinds of points ({len(verdicts) - len(killed)}"
        f" undisturbed or ended before their point), {seconds:.0f} s: "
        f"{sum(v.paid.twice for v in verdicts)} rows paid twice, "
        f"{sum(len(v.paid.twins) for v in verdicts)} jobs created twice, "
        f"{sum(v.lost for v in verdicts)} rows lost, {other} outputs differ, {broken} broken"
    )
