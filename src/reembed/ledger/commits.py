"""Commit a plan as a run, and check that a later call may go on with it."""

from __future__ import annotations

import secrets

from reembed.config.frozen import check_frozen, frozen_view, key_hash
from reembed.config.schema import Config
from reembed.core.plans import PlanSummary, digest_of
from reembed.core.records import Commit
from reembed.errors import AlreadyExistsError, RunFailedError
from reembed.ledger.run_dir import RunDir


def commit_plan(
    run_dir: RunDir, config: Config, plan: PlanSummary, api_key: str, *, after: int = 0
) -> Commit:
    """Commit a plan as the run after run `after`, the newest when planning began; 0 for none.

    A run that was committed meanwhile has most likely the same plan: a second one beside it would
    pay for everything again.

    Raises:
        RunFailedError: another call has committed meanwhile.
    """
    number = after + 1
    salt = secrets.token_hex(8)
    hashed = key_hash(api_key, salt)
    commit = Commit(
        number=number,
        run=secrets.token_hex(6),
        plan=plan.plan,
        digest=plan.digest,
        planned=plan.plan_totals().chunks,
        items=plan.items,
        frozen=frozen_view(config, hashed),
        key_salt=salt,
        key_hash=hashed,
        max_usd=config.budget.max_usd,
    )
    try:
        run_dir.storage.create(run_dir.layout.commit(number), commit.encode())
    except AlreadyExistsError as err:
        raise RunFailedError(
            f"another call committed run {number} in {run_dir.path} meanwhile; run again to join it"
        ) from err
    return commit


def check_resumable(commit: Commit, config: Config, api_key: str, key_rotated: bool) -> None:
    """Refuse to resume a run with another configuration or key.

    Raises:
        ConfigError: the first frozen key that differs.
    """
    hashed = key_hash(api_key, commit.key_salt)
    check_frozen(commit.frozen, frozen_view(config, hashed), key_rotated=key_rotated)


def check_plan(run_dir: RunDir, commit: Commit) -> None:
    """Refuse to go on with a plan whose shards are not those that were committed.

    Raises:
        RunFailedError: a partition's record was changed, or is gone.
    """
    if digest_of(run_dir.partitions(commit.plan)) != commit.digest:
        raise RunFailedError(
            f"the shards in {run_dir.layout.plan_dir(commit.plan)} are not those that were "
            "committed: restore that folder from a copy, or begin a new run in another run_dir"
        )
