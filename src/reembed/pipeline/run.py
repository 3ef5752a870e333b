"""The main job: plan, approve, commit, embed, check; the same call resumes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reembed.config.frozen import frozen_view
from reembed.config.load import LoadedConfig
from reembed.core.machine.records import Commit
from reembed.core.plans import PlanSummary, plan_id
from reembed.driver.session import Session, interrupted, service_key
from reembed.errors import ComeAgainError, RunFailedError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.notes import read_notes
from reembed.pipeline.commits import (
    CommitState,
    check_resumable,
    commit_plan,
    newest_commit,
    record_settled,
)
from reembed.pipeline.results import Counts, count_run, report_of, require_closed, write_report
from reembed.storage.base import Storage
from reembed.storage.open import open_storage


class Observer(Protocol):
    """Is told the stages of a run, to show them."""

    def planning(self, layout: Layout) -> None:
        """Planning begins."""

    def planned(self, plan: PlanSummary) -> None:
        """The plan stands."""

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Embedding begins."""

    def ended(self) -> None:
        """Nothing changes any more."""


@dataclass(frozen=True, slots=True)
class RunCall:
    """One call of the main job.

    `approve` raises when the price is not accepted; `beam_arguments` are Beam's own options.
    """

    loaded: LoadedConfig
    observer: Observer
    approve: Callable[[PlanSummary], float | None]
    beam_arguments: Sequence[str] = ()
    key_rotated: bool = False


def run(call: RunCall) -> dict[str, Any]:
    """Bring a configuration's run to its end, from wherever it stands; return its report.

    Raises:
        UsageError: the configuration, the key, or a run that is settled already with other input.
        ComeAgainError: shards were left, for instance at the budget's cap.
        RunFailedError: the run cannot go on, or its counts do not close.
    """
    started = time.monotonic()
    storage, layout = open_storage(), Layout(call.loaded.config.run_dir)
    key = service_key(call.loaded.config)
    before = newest_commit(storage, layout)
    if before is not None and before.settled:
        return _already(call, storage, layout, before)
    if before is not None:
        check_resumable(before.commit, call.loaded.config, key, call.key_rotated)
        commit, plan = before.commit, read_plan(storage, layout, before.commit.plan)
    else:
        call, commit, plan = _begin(call, storage, layout, key)
    session = Session(call.loaded.config, commit.run, commit.plan, commit.number)
    call.observer.embedding(session, plan, resumed=before is not None)
    _embed(session, call.beam_arguments)
    call.observer.ended()
    return _finish(session, commit, plan, storage, layout, started)


def read_plan(storage: Storage, layout: Layout, plan: str) -> PlanSummary:
    """The summary of a plan that stands."""
    name = layout.plan_summary(plan)
    return PlanSummary.decode(storage.read(name), name)


def _begin(
    call: RunCall, storage: Storage, layout: Layout, key: str
) -> tuple[RunCall, Commit, PlanSummary]:
    from reembed.pipeline.plan import make_plan

    call.observer.planning(layout)
    plan = make_plan(call.loaded, storage, call.beam_arguments)
    call.observer.planned(plan)
    cap = call.approve(plan)
    config = call.loaded.config
    budget = config.budget.model_copy(update={"max_usd": cap})
    loaded = replace(call.loaded, config=config.model_copy(update={"budget": budget}))
    commit = commit_plan(storage, layout, config, plan, key)
    return replace(call, loaded=loaded), commit, plan


def _embed(session: Session, beam_arguments: Sequence[str]) -> None:
    from reembed.pipeline.embed import run_embed

    run_embed(session, beam_arguments)


def _finish(
    session: Session,
    commit: Commit,
    plan: PlanSummary,
    storage: Storage,
    layout: Layout,
    started: float,
) -> dict[str, Any]:
    counts = count_run(storage, layout, commit)
    failed, left = _lanes_said(storage, layout, commit)
    settled = counts.settled == counts.shards
    state = "settled" if settled and counts.closes else "failed" if failed or settled else "open"
    report = report_of(session, plan, counts, state, time.monotonic() - started)
    write_report(storage, layout, report)
    if settled:
        require_closed(counts)
        record_settled(storage, layout, commit)
        return report
    if interrupted.is_set():
        raise KeyboardInterrupt
    if failed:
        raise RunFailedError(failed)
    raise ComeAgainError(_open_words(counts, left))


def _lanes_said(storage: Storage, layout: Layout, commit: Commit) -> tuple[str, dict[str, int]]:
    """What stopped the lanes of the last call, and what they left, by reason."""
    notes = read_notes(storage, layout.progresses(commit.number))
    failed = "; ".join(sorted({note["failed"] for note in notes if note.get("failed")}))
    left: dict[str, int] = {}
    for note in notes:
        for reason, count in note.get("left", {}).items():
            left[reason] = left.get(reason, 0) + count
    return failed, left


def _open_words(counts: Counts, left: dict[str, int]) -> str:
    reasons = ", ".join(f"{count} because {reason}" for reason, count in sorted(left.items()))
    open_shards = counts.shards - counts.settled
    return (
        f"{open_shards} of {counts.shards} shards are not settled"
        f"{f' ({reasons})' if reasons else ''}; the same command goes on"
    )


def _already(
    call: RunCall, storage: Storage, layout: Layout, before: CommitState
) -> dict[str, Any]:
    """The report of a settled run whose input is the same; other input needs its own folder."""
    from reembed.pipeline.plan import list_source

    config = call.loaded.config
    if plan_id(frozen_view(config), list_source(call.loaded, storage)) != before.commit.plan:
        raise UsageError(
            f"the run in {config.run_dir} is settled, and the inputs or the configuration have "
            "changed since; give another run_dir (--run-dir) for the new state"
        )
    import orjson

    report: dict[str, Any] = orjson.loads(storage.read(layout.report()))
    return {**report, "already": True}
