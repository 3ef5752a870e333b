"""Run the main job: plan, approve, commit, embed, check; the same call resumes it."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from reembed.config.load import LoadedConfig
from reembed.config.notifications import NotifyConfig
from reembed.config.schema import Config
from reembed.core.plans import PlanSummary
from reembed.core.price import format_cap, format_usd
from reembed.core.records import Commit, RunSettled
from reembed.destinations.base import SettledRun
from reembed.destinations.open import open_destination
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session, service_key
from reembed.errors import (
    AccessDeniedError,
    ComeAgainError,
    RunFailedError,
    TransientError,
    UnknownOutcomeError,
    UsageError,
)
from reembed.ledger.commits import check_plan, check_resumable, commit_plan
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.providers.open import find_provider, open_provider
from reembed.runs.audit import Audit, audit_jobs
from reembed.runs.plan import is_noop
from reembed.runs.preflight import check_engine, check_wait
from reembed.runs.publish import publish_run
from reembed.runs.repay import Costs, price_of_rest
from reembed.runs.report import (
    count_run,
    report_of,
    require_closed,
    roll_up,
)

Mode = Literal["run", "submit", "advance"]


class Observer(Protocol):
    """Is told the stages of a run, to show them."""

    def planning(self, run_dir: RunDir) -> None:
        """Planning begins."""

    def planned(self, plan: PlanSummary) -> None:
        """The plan stands."""

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Embedding begins."""

    def ended(self) -> None:
        """Nothing changes any more."""

    def say(self, text: str) -> None:
        """Something is about to be done that takes time or money."""


@dataclass(frozen=True, slots=True)
class RunCall:
    """One call of the main job.

    `approve` raises when the price is not accepted; `beam_arguments` are Beam's own options.
    `mode`: ``run`` waits to the end; ``submit`` commits if need be, submits what the quotas allow
    and leaves; ``advance`` takes what is committed a round on and leaves. `accept_repay` buys
    answers again that cannot be used; `assume_lost` sends again what may have been sent too long
    ago to be found. With `expect_plan` nothing is sent for another plan than this one. `instead`
    are the commands to name where this one should not wait. Once `interrupt` is set, lanes of this
    process leave, and the call raises `KeyboardInterrupt`.
    """

    loaded: LoadedConfig
    observer: Observer
    approve: Callable[[PlanSummary], float | None]
    beam_arguments: Sequence[str] = ()
    key_rotated: bool = False
    mode: Mode = "run"
    accept_repay: bool = False
    assume_lost: bool = False
    expect_plan: str = ""
    instead: Sequence[str] = ()
    interrupt: Interrupt = field(default_factory=Interrupt)


def run(call: RunCall) -> dict[str, Any]:
    """Bring a configuration's run to its end, from wherever it stands; return its report.

    Where the last run is settled, the next begins: with what is new or changed since.

    Raises:
        UsageError: the configuration, or the key.
        ComeAgainError: shards were left, for instance at the budget's cap.
        RunFailedError: the run cannot go on, or its counts do not close.
    """
    started = time.monotonic()
    check_engine(call.loaded.config, call.beam_arguments)
    run_dir = open_run_dir(call.loaded.config.run_dir)
    key = service_key(call.loaded.config)
    last = run_dir.newest_commit()
    before = last if last is not None and not last.settled else None
    if last is not None and last.settled:
        if not run_dir.is_published(last):
            config, say = call.loaded.config, call.observer.say
            return _hand_over(config, last.commit, run_dir, last.generation, say)
        if call.mode == "advance":
            return {**run_dir.read_report(), "already": True}
    if before is None and call.mode == "advance":
        raise UsageError(f"nothing was committed in {run_dir.path}; `reembed submit` begins")
    reach_service(call.loaded.config, key)
    generation = before.generation if before is not None else 0
    if before is not None:
        _expected(call, before.commit.plan, f"of run {before.commit.run}, which is not settled")
        check_resumable(before.commit, call.loaded.config, key, call.key_rotated)
        check_plan(run_dir, before.commit)
        commit, plan = before.commit, run_dir.read_plan(before.commit.plan)
        check_wait(call, run_dir, plan, commit)
    else:
        plan = _plan(call, run_dir)
        if last is not None and is_noop(run_dir, plan, last.commit):
            return _settled_before(call.loaded.config, last.commit, key)
        _expected(call, plan.plan, "now that the source, destination or configuration changed")
        check_wait(call, run_dir, plan, None)
        after = last.commit.number if last is not None else 0
        commit = commit_plan(run_dir, _approved(call, plan), plan, key, after=after)
    config = config_for_workers(call.loaded.config, commit)
    one_round = call.mode != "run"
    session = Session(
        config,
        commit.run,
        commit.plan,
        commit.number,
        one_round=one_round,
        resumed=before is not None,
        accept_repay=call.accept_repay,
        generation=generation,
        assume_lost=call.assume_lost,
    )
    call.observer.embedding(session, plan, resumed=before is not None)
    run_dir.delete_lane_notes(commit.number)
    _embed(session, call)
    call.observer.ended()
    return end_run(session, key, call.observer.say, started, call.interrupt)


def end_on_worker(session: Session) -> None:
    """End a call on a worker, where the process that began it could not wait.

    Raises:
        RunFailedError: the run cannot go on, or its counts do not close.
    """

    def say(text: str) -> None:
        logging.getLogger(__name__).info(text)

    try:
        end_run(session, service_key(session.config), say, time.monotonic())
    except ComeAgainError as err:
        # Nothing is wrong: another call goes on. Raised, it would make the engine try again.
        say(str(err))


def end_run(
    session: Session,
    key: str,
    say: Callable[[str], None],
    started: float,
    interrupt: Interrupt | None = None,
) -> dict[str, Any]:
    """End a run whose lanes have ended: count, report, record the end, publish.

    Raises:
        ComeAgainError: shards were left for a later call.
        RunFailedError: the run cannot go on, or its counts do not close.
    """
    run_dir = session.run_dir
    newest = run_dir.newest_commit()
    if newest is None or newest.commit.run != session.run:
        raise RunFailedError(f"run {session.run} is not the newest of {run_dir.path} any more")
    commit, plan = newest.commit, run_dir.read_plan(session.plan)
    roll_up(run_dir, commit, session.generation)
    with open_provider(session.config.service, key) as service:
        audit = audit_jobs(run_dir, commit, service)
    report = _report(session, commit, plan, run_dir, audit, time.monotonic() - started)
    return _finish(session, report, commit, run_dir, say, interrupt)


def _settled_before(config: Config, commit: Commit, key: str) -> dict[str, Any]:
    """The report of a run that is settled, with what the list of remote jobs says by now."""
    run_dir = open_run_dir(config.run_dir)
    with open_provider(config.service, key) as service:
        audit = audit_jobs(run_dir, commit, service)
    report = {**run_dir.read_report(), **audit.as_json()}
    run_dir.write_report(report)
    return {**report, "already": True}


def reach_service(config: Config, key: str) -> None:
    """Find out now, not after an hour of planning, that the service or the key is wrong.

    Raises:
        UsageError: the key is refused.
        RunFailedError: nobody answers.
    """
    with open_provider(config.service, key) as service:
        try:
            next(iter(service.list_jobs()), None)  # one page is enough
        except AccessDeniedError as err:
            where = find_provider(config.service).key_name()
            raise UsageError(f"the service refuses the key ({err}); check {where}") from err
        except (TransientError, UnknownOutcomeError) as err:
            raise RunFailedError(
                f"the service does not answer ({err}); check service.base_url and the network, "
                "then run again"
            ) from err


def config_for_workers(config: Config, commit: Commit) -> Config:
    """The configuration as it travels: with the cap that holds, its own or the one approved.

    Addresses to notify, which may be secrets, do not travel: workers notify nobody.
    """
    config = config.model_copy(update={"notify": NotifyConfig()})
    if config.budget.max_usd is not None:
        return config
    budget = config.budget.model_copy(update={"max_usd": commit.max_usd})
    return config.model_copy(update={"budget": budget})


def _plan(call: RunCall, run_dir: RunDir) -> PlanSummary:
    from reembed.runs.plan import make_plan

    call.observer.planning(run_dir)
    plan = make_plan(call.loaded, call.beam_arguments, call.interrupt)
    call.observer.planned(plan)
    return plan


def _expected(call: RunCall, plan: str, why: str) -> None:
    """Refuse a plan that is not the one that the caller has seen and approved."""
    if call.expect_plan and plan != call.expect_plan:
        raise UsageError(
            f"--expect-plan={call.expect_plan}: the plan is {plan} {why}; nothing was sent; "
            "look at `reembed status` and `reembed plan`, and approve again"
        )


def _approved(call: RunCall, plan: PlanSummary) -> Config:
    """The configuration with the cap under which the plan was approved."""
    cap = call.approve(plan)
    config = call.loaded.config
    budget = config.budget.model_copy(update={"max_usd": cap})
    return config.model_copy(update={"budget": budget})


def _embed(session: Session, call: RunCall) -> None:
    from reembed.beam.run_lanes import run_embed

    run_embed(session, call.beam_arguments, end_on_worker, call.interrupt)


def _report(
    session: Session,
    commit: Commit,
    plan: PlanSummary,
    run_dir: RunDir,
    audit: Audit,
    seconds: float,
) -> dict[str, Any]:
    """Count, and write the report, whatever it says."""
    counts = count_run(run_dir, commit, plan.plan_totals().skipped)
    failed, left, stuck = _lanes_said(run_dir, commit)
    if counts.settled == counts.shards:
        state = "settled" if counts.closes else "failed"
    else:
        state = "failed" if failed else "open"
        # An engine that says DONE has proved nothing.
        lost = counts.shards - counts.settled - sum(left.values())
        if lost > 0 and not failed:
            left["the engine ended before their lane did"] = lost
    report = report_of(session, plan, counts, state, seconds)
    report.update({"failed": failed, "left": left, "stuck": stuck, **audit.as_json()})
    run_dir.write_report(report)
    if counts.settled == counts.shards:
        require_closed(counts)
    return report


def _finish(
    session: Session,
    report: dict[str, Any],
    commit: Commit,
    run_dir: RunDir,
    say: Callable[[str], None],
    interrupt: Interrupt | None,
) -> dict[str, Any]:
    """Put the end of a run on record and hand it over, or say why it has not ended."""
    generation = session.generation
    if report["state"] == "settled":
        settled = RunSettled(
            shards=report["shards"],
            rows=report["rows"],
            rejects=report["rejects"],
            jobs=report["jobs"],
        )
        run_dir.record_settled(commit.number, generation, settled)
        return _hand_over(session.config, commit, run_dir, generation, say)
    if interrupt is not None and interrupt.is_set():
        raise KeyboardInterrupt
    if report["failed"]:
        raise RunFailedError(report["failed"])
    rest = price_of_rest(run_dir, commit) if is_capped(report) else None
    raise ComeAgainError(_open_words(report, rest))


def _lanes_said(run_dir: RunDir, commit: Commit) -> tuple[str, dict[str, int], list[str]]:
    """What stopped the lanes of this call, what they left by reason, and jobs that hang."""
    notes = run_dir.lane_notes(commit.number)
    failed = "; ".join(sorted({note["failed"] for note in notes if note.get("failed")}))
    left: Counter[str] = Counter()
    for note in notes:
        left.update(note.get("left", {}))
    return failed, dict(left), stuck_in(notes)


def stuck_in(notes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the jobs that hang, as lanes noted them."""
    return sorted({job for note in notes for job in note.get("stuck_jobs", ())})


def is_capped(report: Mapping[str, Any]) -> bool:
    """Whether shards were left because the budget is used up."""
    return any("budget" in reason for reason in report.get("left", ()))


def _open_words(report: dict[str, Any], rest: Costs | None) -> str:
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


def _hand_over(
    config: Config,
    commit: Commit,
    run_dir: RunDir,
    generation: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Hand over a settled run, as its record tells it: now, or in a call after a crash."""
    rows = run_dir.run_settled(commit.number, generation).rows
    settled = SettledRun(commit.number, commit.run, generation, rows)
    destination = open_destination(config, run_dir, say)
    published = publish_run(destination, run_dir, commit, settled)
    report = {**run_dir.read_report(), "published": published}
    run_dir.write_report(report)
    return report
