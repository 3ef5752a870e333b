"""Status of a run: counted from the ledger's records, with the lanes' notes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from reembed.core.names import partition_id, partitions_of
from reembed.core.plans import PlanSummary
from reembed.core.records import Commit
from reembed.driver.progress import word_of
from reembed.ledger.ledger import Ledger
from reembed.ledger.notes import sum_notes
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import CommitState, RunDir
from reembed.machine.snapshot import ShardRecords, settlement_of, state_of_shard


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Run at this moment; `shards` are counted by state."""

    name: str
    run: str
    state: str
    shards: dict[str, int]
    planned: int
    rows: int
    rejects: int
    jobs: int
    pending_requests: int
    usd_reserved: float

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {"schema": 1, **asdict(self)}


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counts of the shards, by the ledger."""

    states: dict[str, int]
    rows: int
    rejects: int
    jobs: int


def read_status(run_dir: RunDir) -> RunStatus | None:
    """Read the newest run of a run directory; None where nothing was committed.

    A settled run is read from its one record, settled partitions from their roll-ups; only open
    partitions are listed.
    """
    newest = run_dir.newest_commit()
    if newest is None:
        return None
    commit = newest.commit
    plan = run_dir.read_plan(commit.plan)
    notes: Counter[str] = Counter()
    if newest.settled:
        counted = _settled(run_dir, newest)
    else:
        counted = _open(run_dir, commit, plan)
        notes = sum_notes(run_dir.lane_notes(commit.number))
    return RunStatus(
        name=plan.name,
        run=commit.run,
        state="settled" if newest.settled else "open",
        shards=counted.states,
        planned=commit.planned,
        rows=counted.rows,
        rejects=counted.rejects,
        jobs=counted.jobs,
        pending_requests=notes["pending_requests"],
        usd_reserved=ReservationLog(run_dir, commit.number).read().usd_nano / 1e9,
    )


def _settled(run_dir: RunDir, newest: CommitState) -> _Counted:
    record = run_dir.run_settled(newest.commit.number, newest.generation)
    return _Counted({"settled": record.shards}, record.rows, record.rejects, record.jobs)


def _open(run_dir: RunDir, commit: Commit, plan: PlanSummary) -> _Counted:
    ledger = Ledger(run_dir, commit.number, "status")
    states: Counter[str] = Counter()
    rows = rejects = jobs = 0
    begun: dict[str, ShardRecords] = {}
    for shard, records in ledger.load_partitions(map(partition_id, plan.partitions), brief=True):
        settled = records.settled
        if settled is not None:
            rows += settled.rows
            rejects += settled.rejects
        current = settlement_of(records)
        if current is not None:
            states["settled"] += 1
            jobs += current.jobs
        else:
            begun[shard] = records
            jobs += len(records.created)
    for shard_plan in run_dir.shards(commit.plan, partitions_of(begun)):
        if shard_plan.shard in begun:
            view = state_of_shard(shard_plan, begun[shard_plan.shard], 0.0)
            states[word_of(view)] += 1
    unseen = plan.plan_totals().shards - states.total()
    if unseen:
        states["planned"] += unseen
    return _Counted(dict(sorted(states.items())), rows, rejects, jobs)
