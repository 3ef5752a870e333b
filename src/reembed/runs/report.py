"""Report of a run: counted from the written files, checked, and kept beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from reembed.core.names import partition_id
from reembed.core.plans import PlanSummary
from reembed.core.price import format_cap, format_usd, price
from reembed.core.query_contract import query_contract
from reembed.core.records import Commit
from reembed.driver.session import Session
from reembed.errors import RunFailedError
from reembed.ledger.ledger import Ledger
from reembed.ledger.notes import failures_in, reasons_in, stuck_in
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.snapshot import settlement_of
from reembed.runs.audit import Audit
from reembed.runs.repay import Costs
from reembed.storage.base import Stat, Storage
from reembed.storage.parallel import in_parallel


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a run; of a settled one `rows` and `rejects` from the files, else all from records.

    Reading every file's footer takes minutes where there are a hundred thousand of them, which a
    call that only goes a round further should not.
    """

    planned: int = 0
    rows: int = 0
    rejects: int = 0
    skipped: int = 0
    shards: int = 0
    settled: int = 0
    jobs: int = 0
    attempts: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    reject_codes: dict[str, int] = field(default_factory=dict)
    reserved_usd_nano: int = 0

    @property
    def closes(self) -> bool:
        """Tell whether planned = rows + rejects + skipped, and every shard is settled."""
        whole = self.rows + self.rejects + self.skipped
        return self.settled == self.shards and self.planned == whole


def count_run(run_dir: RunDir, commit: Commit, skipped: int = 0) -> Counts:
    """Count a run from what was written; `skipped` is what its plan left out."""
    tokens: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    settled = jobs = attempts = rows = rejects = 0
    names = [plan.shard for plan in run_dir.shards(commit.plan)]
    ledger = Ledger(run_dir, commit.number, "report")
    for _, records in ledger.load(names, brief=True):
        record = settlement_of(records)
        if record is None:
            continue
        settled += 1
        jobs += record.jobs
        attempts += record.attempts
        rows += record.rows
        rejects += record.rejects
        tokens.update(record.tokens)
        codes.update(record.reject_codes)
    if settled == len(names):
        rows = _rows_in(run_dir.storage, run_dir.parts(commit.number))
        rejects = _rows_in(run_dir.storage, run_dir.reject_parts(commit.number))
    return Counts(
        planned=commit.planned,
        rows=rows,
        rejects=rejects,
        skipped=skipped,
        shards=len(names),
        settled=settled,
        jobs=jobs,
        attempts=attempts,
        tokens=dict(sorted(tokens.items())),
        reject_codes=dict(sorted(codes.items())),
        reserved_usd_nano=ReservationLog(run_dir, commit.number).read().usd_nano,
    )


def settled_shards(run_dir: RunDir, commit: Commit) -> int:
    """Count the settled shards of a run, by the ledger."""
    names = [plan.shard for plan in run_dir.shards(commit.plan)]
    loaded = Ledger(run_dir, commit.number, "report").load(names, brief=True)
    return sum(1 for _, records in loaded if settlement_of(records) is not None)


def roll_up(run_dir: RunDir, commit: Commit, generation: int) -> None:
    """Write the roll-ups of settled partitions that no lane has written.

    Args:
        run_dir: where the run lies.
        commit: which run.
        generation: the run's, read before its lanes began.
    """
    partitions = {
        partition_id(partition.partition): [plan.shard for plan in partition.shards]
        for partition in run_dir.partitions(commit.plan)
    }
    Ledger(run_dir, commit.number, "report").roll_up_all(partitions, generation)


def _rows_in(storage: Storage, parts: Iterable[Stat]) -> int:
    def rows(stat: Stat) -> int:
        with storage.open(stat.uri) as stream:
            return int(pq.read_metadata(stream).num_rows)

    return sum(in_parallel(rows, parts))


def require_closed(counts: Counts) -> None:
    """Fail a run whose counts do not close.

    Raises:
        RunFailedError: with the numbers.
    """
    if not counts.closes:
        raise RunFailedError(
            f"the counts do not close: planned {counts.planned} is not rows {counts.rows} + "
            f"rejects {counts.rejects} + skipped {counts.skipped}; do not use this output. Keep "
            "the run directory: it shows what is missing"
        )


def report_of(
    session: Session, plan: PlanSummary, counts: Counts, state: str, seconds: float
) -> dict[str, Any]:
    """Content of ``report.json``; dollars are what the tokens cost by the price list."""
    spec = session.config.model.spec()
    paid = price(counts.tokens, spec)
    planned = price(plan.plan_totals().tokens, spec)
    return {
        "schema": 1,
        "name": session.config.name,
        "run": session.run,
        "commit": session.commit,
        "plan": session.plan,
        "state": state,
        "items": plan.items,
        "planned": counts.planned,
        "rows": counts.rows,
        "rejects": counts.rejects,
        "skipped": counts.skipped,
        "shards": counts.shards,
        "settled_shards": counts.settled,
        "jobs": counts.jobs,
        "attempts": counts.attempts,
        "tokens": counts.tokens,
        "usd": float(paid.batch_usd),
        "usd_reserved": counts.reserved_usd_nano / 1e9,
        "usd_planned": float(planned.batch_usd),
        "usd_online": float(planned.online_usd),
        "prices_as_of": spec.as_of,
        "seconds": round(seconds, 3),
        "reject_reasons": counts.reject_codes,
        "warnings": dict(plan.plan_totals().notes),
        "vectors": f"{session.config.run_dir}/vectors",
        "rejects_at": f"{session.config.run_dir}/rejects",
        "query_contract": query_contract(session.config),
    }


def write_report(
    session: Session, commit: Commit, plan: PlanSummary, audit: Audit, seconds: float
) -> dict[str, Any]:
    """Count a run and write its report, also where the counts do not close.

    Raises:
        RunFailedError: the counts of a settled run do not close.
    """
    run_dir = session.run_dir
    counts = count_run(run_dir, commit, plan.plan_totals().skipped)
    notes = run_dir.lane_notes(commit.number)
    failed, left = failures_in(notes), reasons_in(notes)
    if counts.settled == counts.shards:
        state = "settled" if counts.closes else "failed"
    else:
        state = "failed" if failed else "open"
        # An engine that says DONE has proved nothing.
        lost = counts.shards - counts.settled - sum(left.values())
        if lost > 0 and not failed:
            left["the engine ended before their lane did"] = lost
    report = report_of(session, plan, counts, state, seconds)
    report.update({"failed": failed, "left": left, "stuck": stuck_in(notes), **audit.as_json()})
    run_dir.write_report(report)
    if counts.settled == counts.shards:
        require_closed(counts)
    return report


def describe_open_run(report: Mapping[str, Any], rest: Costs | None) -> str:
    """Describe in a sentence what a call has left, why, and how to go on.

    Args:
        report: of the call.
        rest: price of what is left, where the cap is in the way.
    """
    left = report["left"]
    reasons = ", ".join(f"{count} because {reason}" for reason, count in sorted(left.items()))
    shards = report["shards"]
    budget = (
        f"; {format_usd(rest.reserved)} are reserved or spent, the {rest.attempts:,} jobs that are "
        f"left cost up to {format_usd(rest.usd_nano)}: --max-usd {format_cap(rest.needed)} buys "
        "them"
        if rest is not None
        else ""
    )
    hanging = (
        f"; {len(report['stuck'])} jobs hang, for instance {report['stuck'][0]} "
        "(batch.on_stuck: resubmit sends them again)"
        if report["stuck"]
        else ""
    )
    return (
        f"{shards - report['settled_shards']} of {shards} shards are not settled"
        f"{f' ({reasons})' if reasons else ''}{budget}{hanging}; the same command goes on"
    )
