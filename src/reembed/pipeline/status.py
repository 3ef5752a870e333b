"""Where a run stands: counted from the ledger's records, beside what lanes noted."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from reembed.core.machine.snapshot import view_of
from reembed.driver.progress import state_of
from reembed.driver.session import shards_of
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.notes import read_notes, sum_notes
from reembed.ledger.spend import SpendLog
from reembed.pipeline.commits import newest_commit
from reembed.pipeline.run import read_plan
from reembed.storage.base import Storage


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at this moment; `shards` are counted by state."""

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
        """The same as one JSON object."""
        return {"schema": 1, **asdict(self)}


def read_status(storage: Storage, layout: Layout) -> RunStatus | None:
    """Read the newest run of a run directory; None where nothing was committed."""
    newest = newest_commit(storage, layout)
    if newest is None:
        return None
    commit = newest.commit
    ledger = Ledger(storage, layout, commit.number, "status")
    plans = list(shards_of(storage, layout, commit.plan))
    known = dict(ledger.load(plan.shard for plan in plans))
    states: Counter[str] = Counter()
    rows = rejects = jobs = 0
    for plan in plans:
        records = known.get(plan.shard)
        if records is None:
            states["planned"] += 1
            continue
        states[state_of(view_of(plan, records, 0.0))] += 1
        jobs += len(records.created)
        if records.settled is not None:
            rows += records.settled.rows
            rejects += records.settled.rejects
    notes = sum_notes(read_notes(storage, layout.progresses(commit.number)))
    return RunStatus(
        name=read_plan(storage, layout, commit.plan).name,
        run=commit.run,
        state="settled" if newest.settled else "open",
        shards=dict(sorted(states.items())),
        planned=commit.planned,
        rows=rows,
        rejects=rejects,
        jobs=jobs,
        pending_requests=0 if newest.settled else notes["pending_requests"],
        usd_reserved=SpendLog(storage, layout, commit.number).read().usd_nano / 1e9,
    )
