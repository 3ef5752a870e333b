"""Run the main job and notify people of how it goes."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from reembed.config.load import ResolvedConfig
from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.errors import ReembedError, StagedError
from reembed.ledger.notes import stuck_in
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.notifications.notifier import Notifier, open_notifier
from reembed.runs.options import Observer, RunOptions
from reembed.runs.run import run

# Seconds between two looks for jobs that hang, while a call waits.
LOOK_EVERY = 60.0


def run_with_notifications(
    config: ResolvedConfig,
    options: RunOptions,
    observer: Observer,
    look_every: float = LOOK_EVERY,
) -> dict[str, Any]:
    """Do as `run` does, and notify people of how it ended; the same result and the same errors."""
    notifier = open_notifier(config, open_run_dir(config.config.run_dir), observer.say)
    if notifier is None:
        return run(config, options, observer)
    try:
        with _StuckWatch(observer, notifier, look_every) as watched:
            report = run(config, options, watched)
    except StagedError:
        raise  # nothing has ended yet
    except Exception as err:  # also a fault of this program is somebody's concern
        notifier.notify_error(err)
        raise
    notifier.notify_settled(report)
    return report


class _StuckWatch:
    """Observer that, while a call embeds, looks now and then for jobs that hang.

    A call that waits for the end waits for those jobs too, so their notice cannot wait for its end.
    """

    def __init__(self, observer: Observer, notifier: Notifier, every: float) -> None:
        self._observer, self._every = observer, every
        # A storage of its own, since it looks while the call works.
        self._notifier = replace(notifier, run_dir=open_run_dir(notifier.run_dir.path))
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
                self._notifier.notify_stuck(
                    stuck_in(self._notifier.run_dir.lane_notes(session.commit))
                )
            except ReembedError:
                continue  # seen the next time
