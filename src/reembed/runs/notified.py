"""Run the main job and notify people of how it goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.errors import (
    ComeAgainError,
    ReembedError,
    StagedError,
    UsageError,
)
from reembed.ledger.run_dir import CommitState, RunDir, open_run_dir
from reembed.notifications.notices import RunPlace
from reembed.notifications.notifier import (
    Notifier,
    capped_notice,
    failed_notice,
    open_notifier,
    place_of,
    settled_notice,
    stuck_notice,
)
from reembed.runs.run import Observer, RunCall, is_capped, run, stuck_in

logger = logging.getLogger("reembed.notify")

# Seconds between two looks for jobs that hang, while a call waits.
LOOK_EVERY = 60.0


def run_with_notifications(call: RunCall, look_every: float = LOOK_EVERY) -> dict[str, Any]:
    """`run`, and tell who is to be told how it ended; the same result and the same errors."""
    teller = open_notifier(call.loaded, open_run_dir(call.loaded.config.run_dir), call.observer.say)
    if teller is None:
        return run(call)
    try:
        with _StuckWatch(call.observer, teller, look_every) as watched:
            report = run(replace(call, observer=watched))
    except StagedError:
        raise  # nothing has ended yet
    except Exception as err:  # also a fault of this program is somebody's concern
        _tell_end(teller, err)
        raise
    _tell_settled(teller, report)
    return report


@dataclass(frozen=True, slots=True)
class _Standing:
    """The newest run, and whether it waits: it is open, or settled and not handed over."""

    state: CommitState | None
    waits: bool


def _standing(teller: Notifier) -> _Standing | None:
    """How the newest run stands; None where the ledger cannot be read.

    Without the ledger nobody knows what was told, and a scheduler would tell it for ever.
    """
    run_dir = teller.run_dir
    try:
        state = run_dir.newest_commit()
        ended = state is None or (state.settled and run_dir.is_published(state))
    except ReembedError as err:
        logger.warning("nobody is told, since the ledger cannot be read: %s", err)
        return None
    return _Standing(state, not ended)


def _tell_settled(teller: Notifier, report: Mapping[str, Any]) -> None:
    found = _standing(teller)
    if found is not None and found.state is not None and found.state.settled:
        teller.tell(settled_notice(place_of(teller.loaded, found.state), report))


def _tell_end(teller: Notifier, err: Exception) -> None:
    """Tell of a call that ended with an error, as far as it concerns more than its caller."""
    found = _standing(teller)
    if found is None:
        return
    state, place = found.state, place_of(teller.loaded, found.state)
    words = str(err) if isinstance(err, ReembedError) else f"{type(err).__name__}: {err}"
    report = teller.run_dir.last_report()
    if report.get("run") != place.run:
        report = {}  # of an earlier run
    if isinstance(err, ComeAgainError):
        if is_capped(report):
            cap = teller.loaded.config.budget.max_usd
            if cap is None and state is not None:
                cap = state.commit.max_usd
            teller.tell(capped_notice(place, report, words, cap))
        _tell_stuck(teller, place, report)
    elif found.waits or not isinstance(err, UsageError):
        # What only this call's options are to blame for, its caller sees; but a run that waits
        # goes on only when somebody does something.
        teller.tell(failed_notice(place, report, words))


def _tell_stuck(teller: Notifier, place: RunPlace, report: Mapping[str, Any]) -> None:
    jobs = report.get("stuck", [])
    if jobs:
        resubmits = teller.loaded.config.batch.on_stuck == "resubmit"
        teller.tell(stuck_notice(place, report, jobs, resubmits))


class _StuckWatch:
    """An observer that, while a call embeds, looks now and then for jobs that hang.

    A call that waits for the end waits for them too, so their news cannot wait for its end.
    """

    def __init__(self, observer: Observer, teller: Notifier, every: float) -> None:
        self._observer, self._every = observer, every
        # Of its own, since it looks while the call works.
        self._teller = replace(teller, run_dir=open_run_dir(teller.run_dir.path))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def planning(self, run_dir: RunDir) -> None:
        """Pass on."""
        self._observer.planning(run_dir)

    def planned(self, plan: PlanSummary) -> None:
        """Pass on."""
        self._observer.planned(plan)

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Pass on, and begin to look."""
        self._observer.embedding(session, plan, resumed)
        self._thread = threading.Thread(target=self._look, args=(session,), daemon=True)
        self._thread.start()

    def ended(self) -> None:
        """Pass on, and look no more."""
        self._end()
        self._observer.ended()

    def say(self, text: str) -> None:
        """Pass on."""
        self._observer.say(text)

    def _end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _look(self, session: Session) -> None:
        while not self._stop.wait(self._every):
            try:
                notes = self._teller.run_dir.lane_notes(session.commit)
                state = self._teller.run_dir.newest_commit()
            except ReembedError:
                continue  # seen the next time
            place = place_of(self._teller.loaded, state)
            _tell_stuck(self._teller, place, {"stuck": stuck_in(notes)})
