"""What a run left, what must hold of it, and what is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from kills.service import Paid
from reembed.core.records import Commit
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.report import count_run

# What may differ between two runs over the same input.
# An attempt that the service lost, for instance to a fence, goes on as its child.
_OF_THE_RUN = ("run", "job", "attempt", "embedded_at")

Key = tuple[str, int, int]


@dataclass(frozen=True)
class Output:
    """Rows and rejects in the order of the files: their keys, and a digest of everything else."""

    keys: frozenset[Key]
    rows: int
    digest: str


@dataclass(frozen=True)
class Problem:
    """What does not hold, in a word, and what was seen."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def read_output(run_dir: Path) -> Output:
    """Read what a run published."""
    digest, keys = hashlib.sha256(), list[Key]()
    for name in ("vectors", "rejects"):
        tables = [pq.read_table(path) for path in sorted((run_dir / name).glob("*.parquet"))]
        if not tables:
            continue
        table = pa.concat_tables(tables)
        kept = table.drop_columns([name for name in _OF_THE_RUN if name in table.column_names])
        for column in kept.combine_chunks().itercolumns():
            digest.update(repr(column.to_pylist()).encode())
        columns = (table.column(name).to_pylist() for name in ("key", "offset", "part"))
        keys += list(zip(*columns, strict=True))
    return Output(frozenset(keys), len(keys), digest.hexdigest())


def problems_of(
    run_dir: Path, commit: Commit, paid: Paid, output: Output, reference: Output | None
) -> list[Problem]:
    """Everything that does not hold at the end of a case."""
    return [
        *_money(run_dir, commit, paid),
        *_rows(output, reference),
        *_counts(run_dir, commit),
        *_report(run_dir),
    ]


def _money(run_dir: Path, commit: Commit, paid: Paid) -> Iterable[Problem]:
    commits = sorted(path.name for path in (run_dir / "ledger").glob("commit.*"))
    if len(commits) != 1:
        # Each would be a run of its own, with the same rows.
        yield Problem("runs twice", ", ".join(commits))
    if paid.twins:
        yield Problem("jobs twice", ", ".join(paid.twins))
    if paid.twice:
        yield Problem("paid twice", f"{paid.twice} rows")
    if sum(paid.rows.values()) != paid.billed:
        yield Problem("bill", f"{sum(paid.rows.values())} answers, {paid.billed} rows billed")
    live = ReservationLog(open_run_dir(str(run_dir)), commit.number).read().live
    if live:
        yield Problem("still reserved", ", ".join(sorted(live)))


def _rows(output: Output, reference: Output | None) -> Iterable[Problem]:
    if output.rows != len(output.keys):
        yield Problem("rows twice", f"{output.rows} rows of {len(output.keys)} keys")
    if reference is None:
        return
    if lost := reference.keys - output.keys:
        yield Problem("lost", ", ".join(sorted(key for key, _, _ in lost)))
    if output.digest != reference.digest:
        yield Problem("other output", f"{output.digest[:12]} is not {reference.digest[:12]}")


def _counts(run_dir: Path, commit: Commit) -> Iterable[Problem]:
    counts = count_run(open_run_dir(str(run_dir)), commit)
    if not counts.closes:
        yield Problem("counts", f"{counts}")


def _report(run_dir: Path) -> Iterable[Problem]:
    """What the command itself says; a lane alone writes no report."""
    path = run_dir / "report.json"
    if not path.exists():
        return
    report = orjson.loads(path.read_bytes())
    if report["state"] != "settled" or report["duplicate_jobs"] or report["unchecked"]:
        seen = {name: report[name] for name in ("state", "duplicate_jobs", "unchecked", "failed")}
        yield Problem("report", f"{seen}")
