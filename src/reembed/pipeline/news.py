"""Whether a plan holds anything that the last run of its directory has not done already."""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.core.machine.records import Commit
from reembed.core.plans import PlanSummary
from reembed.driver.session import shards_of
from reembed.ledger.layout import Layout
from reembed.storage.base import Storage

_Reject = tuple[str, int, str]


def is_nothing_new(storage: Storage, layout: Layout, plan: PlanSummary, last: Commit) -> bool:
    """Whether a run of this plan would leave everything as the last run left it.

    Inputs that cannot be embedded are planned each time: they are no news once their rejects
    stand.
    """
    totals = plan.plan_totals()
    if totals.requests or totals.copies or totals.gone:
        return False
    return not totals.rejects or _planned(storage, layout, plan) == _standing(storage, layout, last)


def _planned(storage: Storage, layout: Layout, plan: PlanSummary) -> set[_Reject]:
    found: set[_Reject] = set()
    for shard in shards_of(storage, layout, plan.plan):
        with storage.open(layout.manifest(plan.plan, shard.shard)) as stream:
            table = pq.read_table(stream, columns=["key", "part", "reject_code"])
        table = table.filter(pc.is_valid(table.column("reject_code")))
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def _standing(storage: Storage, layout: Layout, last: Commit) -> set[_Reject]:
    found: set[_Reject] = set()
    for stat in storage.list(f"{layout.run_dir}/rejects/part-{last.number:04}-"):
        with storage.open(stat.uri) as stream:
            table = pq.read_table(stream, columns=["key", "part", "reason"])
        found.update(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found
