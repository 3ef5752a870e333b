"""Notify people of a run's events, each of them once over all calls of a run."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reembed.config.load import LoadedConfig
from reembed.core.records import Notified
from reembed.errors import AlreadyExistsError, NotificationError, StorageError, UsageError
from reembed.ledger.run_dir import CommitState, RunDir
from reembed.notifications.channels import Channel, Message, open_channels, send_patiently
from reembed.notifications.notices import Notice, RunPlace, kind_of

logger = logging.getLogger("reembed.notify")


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells notices by every channel that has not had them; whatever fails, the run goes on.

    A notice is put on record after a channel took it, not before: so it is told at least once.
    Twice, with the same `Notice.id`, where two calls end in the same moment or one dies right
    after the sending. The other way round, a page that was lost on its way would stay lost.

    Args:
        run_dir: where the run lies.
        channels: to people.
        loaded: the configuration.
        say: tells the user of this call what could not be told.
        sleep: waits between two tries.
    """

    run_dir: RunDir
    channels: Sequence[Channel]
    loaded: LoadedConfig
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep

    def tell(self, notice: Notice) -> None:
        """Tell a notice, if its event was asked for and something in it is new to a channel."""
        config = self.loaded.config.notify
        if notice.event not in config.events:
            return
        message = Message(notice.body(config.body == "text"), notice.event, notice.place.run)
        for channel in self.channels:
            try:
                if new := self._new(notice, channel):
                    send_patiently(channel, message, config.attempts, self.sleep)
                    self._record(notice, channel, new)
                    logger.info("told %s by %s", notice.id, channel.name, extra=_fields(notice))
            except (NotificationError, StorageError) as err:
                done = "told" if isinstance(err, NotificationError) else "put on record as told"
                words = f"{notice.event} could not be {done} by {channel.name}: {err}"
                logger.warning("%s", words, extra=_fields(notice))
                self.say(f"notify: {words}; the next call tries again")

    def _new(self, notice: Notice, channel: Channel) -> list[str]:
        """What a channel has not been told yet, as names of records."""
        place = notice.place
        names = [
            self.run_dir.layout.notified(place.commit, place.generation, mark, channel.name)
            for mark in notice.marks
        ]
        prefix = self.run_dir.layout.all_notified(place.commit)
        standing = {stat.uri for stat in self.run_dir.storage.list(prefix)}
        return [name for name in names if name not in standing]

    def _record(self, notice: Notice, channel: Channel, names: Sequence[str]) -> None:
        record = Notified(id=notice.id, channel=channel.name).encode()
        for name in names:
            with contextlib.suppress(AlreadyExistsError):  # by another call, which told it too
                self.run_dir.storage.create(name, record)


def _fields(notice: Notice) -> dict[str, str]:
    return {"event": "notified", "run": notice.place.run}


def open_notifier(
    loaded: LoadedConfig, run_dir: RunDir, say: Callable[[str], None]
) -> Notifier | None:
    """A teller for a configuration; None where nobody is to be told."""
    config = loaded.config
    if config.notify.is_off:
        return None
    channels: list[Channel] = []
    try:
        channels = open_channels(config.notify, str(loaded.base), os.environ)
    except UsageError as err:
        # Said now, and not only in the hour when somebody should be woken.
        logger.warning("%s", err)
        say(f"{err}; nobody is told of this run")
    return Notifier(run_dir, channels, loaded, say)


def place_of(loaded: LoadedConfig, state: CommitState | None) -> RunPlace:
    """Which run is meant: the newest, or none yet."""
    config = loaded.config
    if state is None:
        return RunPlace(config.name, "", 0, 0, config.run_dir)
    commit = state.commit
    return RunPlace(config.name, commit.run, commit.number, state.generation, config.run_dir)


def settled_notice(place: RunPlace, report: Mapping[str, Any]) -> Notice:
    """All is done."""
    words = (
        f"{report['rows']:,} rows and {report['rejects']:,} rejects of {report['planned']:,} "
        f"chunks, ${report['usd']:,.6f}, in {place.run_dir}."
    )
    rejected = "; look at the rejects" if report["rejects"] else ""
    return Notice("settled", place, ("settled",), words, f"use the rows{rejected}", report)


def failed_notice(place: RunPlace, report: Mapping[str, Any], error: str) -> Notice:
    """The run cannot go on; the error's words end with what to do."""
    marks = (f"failed-{kind_of(error)}",)
    after = "do what the message says, then call the same command again"
    return Notice("failed", place, marks, error, after, report)


def capped_notice(
    place: RunPlace, report: Mapping[str, Any], error: str, cap: float | None
) -> Notice:
    """The budget is used up, and work is left; told once for each cap."""
    marks = (f"capped-{round((cap or 0) * 1e9)}",)
    after = "call again with the --max-usd of the message, or leave the rest"
    return Notice("capped", place, marks, error, after, report)


def stuck_notice(
    place: RunPlace, report: Mapping[str, Any], jobs: Sequence[str], resubmits: bool
) -> Notice:
    """Jobs hang; each of them is told once."""
    marks = tuple(f"stuck-{hashlib.sha256(job.encode()).hexdigest()[:16]}" for job in jobs)
    words = f"{len(jobs):,} jobs hang, for instance {jobs[0]}."
    after = (
        "nothing: they are cancelled and sent again"
        if resubmits
        else "wait, or set batch.on_stuck: resubmit to cancel them and send them again"
    )
    return Notice("stuck", place, marks, words, after, report, jobs)
