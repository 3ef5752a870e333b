"""Commits: bind a run to one plan, and find the run of a later call."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from reembed.config.frozen import check_frozen, frozen_view, key_hash
from reembed.config.schema import Config
from reembed.core.plans import PlanSummary, digest_of
from reembed.core.records import Commit, RunSettled
from reembed.errors import AlreadyExistsError, RunFailedError
from reembed.ledger.layout import Layout
from reembed.ledger.plans import partitions_in
from reembed.storage.base import Storage


@dataclass(frozen=True, slots=True)
class CommitState:
    """The newest commit of a run directory; `settled` says whether its `generation` is."""

    commit: Commit
    settled: bool
    generation: int = 0


def newest_commit(storage: Storage, layout: Layout) -> CommitState | None:
    """The newest commit; None where nothing was committed yet."""
    numbers = [_number(layout, stat.uri) for stat in storage.list(layout.commits())]
    numbers = [number for number in numbers if number]
    if not numbers:
        return None
    name = layout.commit(max(numbers))
    commit = Commit.decode(storage.read(name), name)
    if commit.number != max(numbers):
        raise RunFailedError(f"{name} says that it is commit {commit.number}; restore it")
    generation = 0
    while _is_there(storage, layout.redrives(commit.number, generation + 1)):
        generation += 1
    settled = _is_there(storage, layout.run_settled(commit.number, generation))
    return CommitState(commit, settled, generation)


def is_published(storage: Storage, layout: Layout, state: CommitState) -> bool:
    """Whether the destination has taken over a settled run."""
    return _is_there(storage, layout.run_published(state.commit.number, state.generation))


def _number(layout: Layout, uri: str) -> int:
    """The number of a commit by its name; 0 for a file that is none, such as an editor's copy."""
    digits = uri.removeprefix(layout.commits())
    return int(digits) if re.fullmatch(r"[0-9]{4,9}", digits) else 0


def _is_there(storage: Storage, name: str) -> bool:
    return any(stat.uri == name for stat in storage.list(name))


def commit_plan(
    storage: Storage,
    layout: Layout,
    config: Config,
    plan: PlanSummary,
    api_key: str,
    *,
    after: int = 0,
) -> Commit:
    """Commit a plan as the run after run `after`, the newest when planning began; 0 for none.

    A run that was committed meanwhile has most likely the same plan: a second one beside it would
    pay for everything again.

    Raises:
        RunFailedError: somebody else committed meanwhile.
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
        storage.create(layout.commit(number), commit.encode())
    except AlreadyExistsError as err:
        raise RunFailedError(
            f"another call committed run {number} in {layout.run_dir} meanwhile; run again to "
            "join it"
        ) from err
    return commit


def check_resumable(commit: Commit, config: Config, api_key: str, key_rotated: bool) -> None:
    """Refuse to resume a run with another configuration or key.

    Raises:
        ConfigError: the first frozen key that differs.
    """
    hashed = key_hash(api_key, commit.key_salt)
    check_frozen(commit.frozen, frozen_view(config, hashed), key_rotated=key_rotated)


def check_plan(storage: Storage, layout: Layout, commit: Commit) -> None:
    """Refuse to go on with a plan whose shards are not those that were committed.

    Raises:
        RunFailedError: a partition's record was changed, or is gone.
    """
    if digest_of(partitions_in(storage, layout, commit.plan)) != commit.digest:
        raise RunFailedError(
            f"the shards in {layout.plan_dir(commit.plan)} are not those that were committed: "
            "restore that folder from a copy, or begin a new run in another run_dir"
        )


def record_settled(
    storage: Storage, layout: Layout, commit: Commit, generation: int, settled: RunSettled
) -> None:
    """Say that every shard of a run is settled, that its counts close, and what they are."""
    try:
        storage.create(layout.run_settled(commit.number, generation), settled.encode())
    except AlreadyExistsError:
        return
