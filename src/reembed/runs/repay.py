"""Price of going on: answers to buy again, and requests not sent yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reembed.config.schema import Config
from reembed.core.price import cap_nano
from reembed.core.records import Commit
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.snapshot import ShardRecords, state_of_shard
from reembed.machine.states import AttemptState


@dataclass(frozen=True, slots=True)
class Costs:
    """Attempts that would be bought: how many, what they cost at most, what is reserved already.

    Money in billionths of a dollar; `cap` None where there is none.
    """

    attempts: int = 0
    usd_nano: int = 0
    reserved: int = 0
    cap: int | None = None

    @property
    def needed(self) -> int:
        """Lowest cap under which all of it can be bought."""
        return self.reserved + self.usd_nano


def price_of_repay(run_dir: RunDir, config: Config) -> Costs:
    """Price of repurchasing unusable answers: suspect attempts without an outcome."""
    newest = run_dir.newest_commit()
    if newest is None:
        return Costs()
    commit, cap = newest.commit, config.budget.max_usd
    book = ReservationLog(run_dir, commit.number).read()
    found = [a for _, a in _open_attempts(run_dir, commit) if a.suspect]
    nano = sum(attempt.need.usd_nano for attempt in found)
    allowed = cap_nano(commit.max_usd if cap is None else cap)
    return Costs(len(found), nano, book.usd_nano, allowed)


def price_of_rest(run_dir: RunDir, commit: Commit) -> Costs:
    """Price of what is left to buy of a run: attempts without a job that hold no reservation."""
    book = ReservationLog(run_dir, commit.number).read()
    found = [
        attempt
        for shard, attempt in _open_attempts(run_dir, commit)
        if attempt.created is None and f"{shard}/{attempt.path}" not in book.live
    ]
    return Costs(len(found), sum(a.need.usd_nano for a in found), book.usd_nano)


def _open_attempts(run_dir: RunDir, commit: Commit) -> Iterator[tuple[str, AttemptState]]:
    ledger = Ledger(run_dir, commit.number, "prices")
    plans = {plan.shard: plan for plan in run_dir.shards(commit.plan)}
    known = dict(ledger.load(plans))
    for shard, plan in plans.items():
        view = state_of_shard(plan, known.get(shard, ShardRecords()), 0.0)
        for attempt in view.attempts.values():
            if attempt.outcome is None:
                yield shard, attempt
