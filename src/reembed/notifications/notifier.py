"""Notify people of a run's events, each of them once over all calls of a run."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reembed.config.load import ResolvedConfig
from reembed.config.schema import Config
from reembed.core.records import Notified
from reembed.errors import (
    AlreadyExistsError,
    ComeAgainError,
    NotificationError,
    ReembedError,
    StorageError,
    UsageError,
)
from reembed.ledger.run_dir import CommitState, RunDir
from reembed.notifications.channels import Channel, Message, open_channels, send_patiently
from reembed.notifications.notices import (
    Notice,
    RunPlace,
    capped_notice,
    failed_notice,
    is_capped,
    place_of,
    settled_notice,
    stuck_notice,
)

logger = logging.getLogger("reembed.notify")


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends notices by every channel that has not had them; whatever fails, the run goes on.

    A notice is recorded after a channel took it, not before, so it is sent at least once. It is
    sent twice, with the same `Notice.id`, where two calls end in the same moment or one dies right
    after the sending. In the other order a notice that was lost on its way would stay lost.

    Args:
        run_dir: where the run lies.
        channels: to people.
        config: the configuration, with what is to be notified.
        say: tells the user of this call what could not be sent.
        sleep: waits between two attempts.
    """

    run_dir: RunDir
    channels: Sequence[Channel]
    config: Config
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep

    def notify(self, notice: Notice) -> None:
        """Send a notice, if its event was asked for and some of its marks are new to a channel."""
        config = self.config.notify
        if notice.event not in config.events:
            return
        message = Message(notice.body(config.body == "text"), notice.event, notice.place.run)
        for channel in self.channels:
            try:
                if new := self._new_records(notice, channel):
                    send_patiently(channel, message, config.attempts, self.sleep)
                    self._record(notice, channel, new)
                    logger.info("told %s by %s", notice.id, channel.name, extra=_fields(notice))
            except (NotificationError, StorageError) as err:
                done = "told" if isinstance(err, NotificationError) else "put on record as told"
                text = f"{notice.event} could not be {done} by {channel.name}: {err}"
                logger.warning("%s", text, extra=_fields(notice))
                self.say(f"notify: {text}; the next call tries again")

    def notify_settled(self, report: Mapping[str, Any]) -> None:
        """Notify of a call that ended well, if the newest run is settled."""
        found = self._newest()
        if found is not None and found.state is not None and found.state.settled:
            self.notify(settled_notice(place_of(self.config, found.state), report))

    def notify_error(self, err: Exception) -> None:
        """Notify of a call that ended with an error, if it concerns more than its caller.

        The caller sees what only the options of this call are to blame for. But a run that waits
        goes on only when somebody does something, so then every error counts.
        """
        found = self._newest()
        if found is None:
            return
        place = place_of(self.config, found.state)
        text = str(err) if isinstance(err, ReembedError) else f"{type(err).__name__}: {err}"
        report = self.run_dir.last_report()
        if report.get("run") != place.run:
            report = {}  # of an earlier run
        if isinstance(err, ComeAgainError):
            if is_capped(report):
                self.notify(capped_notice(place, report, text, self._cap(found.state)))
            self._notify_stuck(place, report, report.get("stuck", []))
        elif found.waits or not isinstance(err, UsageError):
            self.notify(failed_notice(place, report, text))

    def notify_stuck(self, jobs: Sequence[str]) -> None:
        """Notify of jobs that hang while a call works; does nothing for none."""
        self._notify_stuck(place_of(self.config, self.run_dir.newest_commit()), {}, jobs)

    def _notify_stuck(
        self, place: RunPlace, report: Mapping[str, Any], jobs: Sequence[str]
    ) -> None:
        if jobs:
            resubmits = self.config.batch.on_stuck == "resubmit"
            self.notify(stuck_notice(place, report, jobs, resubmits))

    def _cap(self, state: CommitState | None) -> float | None:
        cap = self.config.budget.max_usd
        return state.commit.max_usd if cap is None and state is not None else cap

    def _newest(self) -> _NewestRun | None:
        """Find the newest run; None where the ledger cannot be read.

        Without the ledger nobody knows what was sent, and a scheduler would send it for ever.
        """
        try:
            state = self.run_dir.newest_commit()
            ended = state is None or (state.settled and self.run_dir.is_published(state))
        except ReembedError as err:
            logger.warning("nobody is told, since the ledger cannot be read: %s", err)
            return None
        return _NewestRun(state, not ended)

    def _new_records(self, notice: Notice, channel: Channel) -> list[str]:
        """Names of records for those marks that a channel has not sent yet."""
        place = notice.place
        names = [
            self.run_dir.layout.notified(place.commit, place.generation, mark, channel.name)
            for mark in notice.marks
        ]
        prefix = self.run_dir.layout.all_notified(place.commit)
        existing = {stat.uri for stat in self.run_dir.storage.list(prefix)}
        return [name for name in names if name not in existing]

    def _record(self, notice: Notice, channel: Channel, names: Sequence[str]) -> None:
        record = Notified(id=notice.id, channel=channel.name).encode()
        for name in names:
            with contextlib.suppress(AlreadyExistsError):  # by another call, which sent it too
                self.run_dir.storage.create(name, record)


@dataclass(frozen=True, slots=True)
class _NewestRun:
    """Newest run; `waits` while it is open, or settled and not published."""

    state: CommitState | None
    waits: bool


def _fields(notice: Notice) -> dict[str, str]:
    return {"event": "notified", "run": notice.place.run}


def open_notifier(
    resolved: ResolvedConfig, run_dir: RunDir, say: Callable[[str], None]
) -> Notifier | None:
    """Open the notifier of a configuration; None where nobody is to be notified."""
    config = resolved.config
    if config.notify.is_off:
        return None
    channels: list[Channel] = []
    try:
        channels = open_channels(config.notify, str(resolved.base), os.environ)
    except UsageError as err:
        # Said now, and not only in the hour when somebody should be woken.
        logger.warning("%s", err)
        say(f"{err}; nobody is told of this run")
    return Notifier(run_dir, channels, config, say)
