"""Run the main job: plan, approve, commit, embed, check; the same call resumes it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from reembed.config.load import ResolvedConfig, config_for_workers
from reembed.config.schema import Config
from reembed.core.plans import PlanSummary
from reembed.core.records import Commit, RunSettled
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session, open_service, service_key
from reembed.errors import (
    AccessDeniedError,
    ComeAgainError,
    RunFailedError,
    TransientError,
    UnknownOutcomeError,
    UsageError,
)
from reembed.ledger.commits import check_plan, check_resumable, commit_plan
from reembed.ledger.run_dir import CommitState, RunDir, open_run_dir
from reembed.notifications.notices import is_capped
from reembed.providers.open import find_provider
from reembed.runs.audit import audit_jobs
from reembed.runs.options import Observer, RunOptions, Unobserved
from reembed.runs.plan import is_noop
from reembed.runs.preflight import check_engine, check_wait
from reembed.runs.publish import publish_settled
from reembed.runs.repay import price_of_rest
from reembed.runs.report import describe_open_run, roll_up, write_report


def run(
    config: ResolvedConfig,
    options: RunOptions | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Bring a configuration's run to its end, from wherever it stands; return its report.

    Where the last run is settled, the next begins: with what is new or changed since.

    Raises:
        UsageError: the configuration, or the key.
        ComeAgainError: shards were left, for instance at the budget's cap.
        RunFailedError: the run cannot go on, or its counts do not close.
    """
    call = _Call(config, options or RunOptions(), observer or Unobserved())
    return call.go_on()


class _Call:
    """One call of `run`: what it was given, and its steps."""

    def __init__(self, resolved: ResolvedConfig, options: RunOptions, observer: Observer) -> None:
        self._started = time.monotonic()
        self._resolved, self._config = resolved, resolved.config
        self._options, self._observer = options, observer
        # Before anything is opened: options that can only fail on a worker fail here.
        check_engine(self._config, options.beam_arguments)
        self._run_dir = open_run_dir(self._config.run_dir)
        self._key = service_key(self._config)

    def go_on(self) -> dict[str, Any]:
        """Publish what is settled, resume what is open, or plan and begin what is new."""
        last = self._run_dir.newest_commit()
        if last is not None and not last.settled:
            reach_service(self._config, self._key)
            return self._resume(last)
        if last is not None and not self._run_dir.is_published(last):
            # A call that died between the two left this step.
            return publish_settled(
                self._config, self._run_dir, last.commit, last.generation, self._observer.say
            )
        if self._options.mode == "advance":
            if last is None:
                raise UsageError(
                    f"nothing was committed in {self._run_dir.path}; `reembed submit` begins"
                )
            return {**self._run_dir.read_report(), "already": True}
        reach_service(self._config, self._key)
        return self._begin(last)

    def _resume(self, state: CommitState) -> dict[str, Any]:
        commit = state.commit
        self._check_expected(commit.plan, f"of run {commit.run}, which is not settled")
        check_resumable(commit, self._config, self._key, self._options.key_rotated)
        check_plan(self._run_dir, commit)
        plan = self._run_dir.read_plan(commit.plan)
        check_wait(self._config, self._options, self._run_dir, plan, commit)
        return self._embed(commit, plan, state.generation, resumed=True)

    def _begin(self, last: CommitState | None) -> dict[str, Any]:
        plan = self._plan()
        if last is not None and is_noop(self._run_dir, plan, last.commit):
            return self._report_again(last.commit)
        why = "now that the source, destination or configuration changed"
        self._check_expected(plan.plan, why)
        check_wait(self._config, self._options, self._run_dir, plan, None)
        after = last.commit.number if last is not None else 0
        approved = self._resolved.with_cap(self._options.approve(plan)).config
        commit = commit_plan(self._run_dir, approved, plan, self._key, after=after)
        return self._embed(commit, plan, 0, resumed=False)

    def _plan(self) -> PlanSummary:
        from reembed.runs.plan import make_plan

        self._observer.planning(self._run_dir)
        plan = make_plan(self._resolved, self._options.beam_arguments, self._options.interrupt)
        self._observer.planned(plan)
        return plan

    def _check_expected(self, plan: str, why: str) -> None:
        """Refuse a plan that is not the one that the caller has seen and approved."""
        expected = self._options.expect_plan
        if expected and plan != expected:
            raise UsageError(
                f"--expect-plan={expected}: the plan is {plan} {why}; nothing was sent; look "
                "at `reembed status` and `reembed plan`, and approve again"
            )

    def _report_again(self, commit: Commit) -> dict[str, Any]:
        """Report a settled run again, with what the list of remote jobs shows now."""
        with open_service(self._config, self._key) as service:
            audit = audit_jobs(self._run_dir, commit, service)
        report = {**self._run_dir.read_report(), **audit.as_json()}
        self._run_dir.write_report(report)
        return {**report, "already": True}

    def _embed(
        self, commit: Commit, plan: PlanSummary, generation: int, *, resumed: bool
    ) -> dict[str, Any]:
        session = Session(
            config_for_workers(self._config, commit.max_usd),
            commit.run,
            commit.plan,
            commit.number,
            one_round=self._options.one_round,
            resumed=resumed,
            accept_repay=self._options.accept_repay,
            generation=generation,
            assume_lost=self._options.assume_lost,
        )
        self._observer.embedding(session, plan, resumed=resumed)
        # Notes of an earlier call's lanes would count as what this call's lanes left.
        self._run_dir.delete_lane_notes(commit.number)
        _drive_lanes(session, self._options)
        self._observer.ended()
        return end_run(
            session, self._key, self._observer.say, self._started, self._options.interrupt
        )


def _drive_lanes(session: Session, options: RunOptions) -> None:
    from reembed.beam.run_lanes import run_embed

    run_embed(session, options.beam_arguments, end_on_worker, options.interrupt)


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
    with open_service(session.config, key) as service:
        audit = audit_jobs(run_dir, commit, service)
    report = write_report(session, commit, plan, audit, time.monotonic() - started)
    if report["state"] == "settled":
        _record_settled(run_dir, commit, session.generation, report)
        return publish_settled(session.config, run_dir, commit, session.generation, say)
    if interrupt is not None and interrupt.is_set():
        raise KeyboardInterrupt
    if report["failed"]:
        raise RunFailedError(report["failed"])
    rest = price_of_rest(run_dir, commit) if is_capped(report) else None
    raise ComeAgainError(describe_open_run(report, rest))


def _record_settled(
    run_dir: RunDir, commit: Commit, generation: int, report: dict[str, Any]
) -> None:
    settled = RunSettled(
        shards=report["shards"],
        rows=report["rows"],
        rejects=report["rejects"],
        jobs=report["jobs"],
    )
    run_dir.record_settled(commit.number, generation, settled)


def reach_service(config: Config, key: str) -> None:
    """Find out now, not after an hour of planning, that the service or the key is wrong.

    Raises:
        UsageError: the key is refused.
        RunFailedError: nobody answers.
    """
    with open_service(config, key) as service:
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
