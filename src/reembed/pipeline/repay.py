"""What it costs to buy answers again that cannot be used."""

from __future__ import annotations

from reembed.config.schema import Config
from reembed.core.machine.snapshot import view_of
from reembed.driver.session import shards_of
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.pipeline.commits import newest_commit
from reembed.storage.base import Storage


def price_of_repay(storage: Storage, config: Config) -> tuple[int, int]:
    """Answers in question (suspect and without an outcome), and billionths of a dollar at most."""
    layout = Layout(config.run_dir)
    newest = newest_commit(storage, layout)
    if newest is None:
        return 0, 0
    ledger = Ledger(storage, layout, newest.commit.number, "repay")
    plans = {plan.shard: plan for plan in shards_of(storage, layout, newest.commit.plan)}
    answers = usd_nano = 0
    for shard, records in ledger.load(plans):
        for attempt in view_of(plans[shard], records, 0.0).attempts.values():
            if attempt.suspect and attempt.outcome is None:
                answers += 1
                usd_nano += attempt.need.usd_nano
    return answers, usd_nano
