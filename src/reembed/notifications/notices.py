"""Notices to people: an event of a run with its numbers, as JSON or as a line of text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from reembed.config.notifications import NoticeEvent
from reembed.config.schema import Config
from reembed.ledger.run_dir import CommitState

_COUNTS = ("planned", "rows", "rejects", "skipped", "shards", "settled_shards", "jobs")
_DOLLARS = ("usd", "usd_reserved", "usd_planned")
_KIND_DIGITS = 8


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Run that a notice is about; `run` is empty and `commit` 0 before anything was committed."""

    name: str
    run: str
    commit: int
    generation: int
    run_dir: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Event of a run. Each of its `marks` is sent once by each channel.

    `report` is the run's report as it stands, empty where there is none.
    """

    event: NoticeEvent
    place: RunPlace
    marks: tuple[str, ...]
    message: str
    next: str
    report: Mapping[str, Any] = field(default_factory=dict)
    stuck: Sequence[str] = ()

    @property
    def id(self) -> str:
        """Id, the same for the same event, so that a reader recognises a notice that came twice."""
        mark = self.event if self.event == "stuck" else self.marks[0]
        return f"{self.place.run or self.place.name}.g{self.place.generation}.{mark}"

    def as_json(self) -> dict[str, Any]:
        """Body of schema 1."""
        place, report = self.place, self.report
        return {
            "schema": 1,
            "id": self.id,
            "event": self.event,
            "name": place.name,
            "run": place.run,
            "commit": place.commit,
            "generation": place.generation,
            "message": _plain(self.message),
            "next": self.next,
            "counts": {name: report.get(name, 0) for name in _COUNTS},
            "dollars": {name: report.get(name, 0) for name in _DOLLARS},
            "stuck": list(self.stuck),
            "run_dir": _plain(place.run_dir),
            "report": f"{_plain(place.run_dir)}/report.json",
            "text": self.text(),
        }

    def text(self) -> str:
        """One line for people."""
        place = self.place
        line = f"{self.event}: {_plain(self.message)} Next: {self.next}."
        return " ".join(word for word in ("reembed", place.name, place.run, line) if word)

    def body(self, text_alone: bool) -> bytes:
        """Body as it is sent."""
        return orjson.dumps({"text": self.text()} if text_alone else self.as_json())


def _plain(text: str) -> str:
    """Make a text valid in JSON: names of files may hold bytes that are no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def kind_of(message: str) -> str:
    """Short digest, the same for messages that differ only in numbers and names of jobs."""
    words = [word for word in _plain(message).split() if not any(sign.isdigit() for sign in word)]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:_KIND_DIGITS]


def place_of(config: Config, state: CommitState | None) -> RunPlace:
    """Name the newest run of a configuration, or none yet."""
    if state is None:
        return RunPlace(config.name, "", 0, 0, config.run_dir)
    commit = state.commit
    return RunPlace(config.name, commit.run, commit.number, state.generation, config.run_dir)


def is_capped(report: Mapping[str, Any]) -> bool:
    """Tell whether shards were left because the budget is used up."""
    return any("budget" in reason for reason in report.get("left", ()))


def settled_notice(place: RunPlace, report: Mapping[str, Any]) -> Notice:
    """Notice of a run that is settled."""
    words = (
        f"{report['rows']:,} rows and {report['rejects']:,} rejects of {report['planned']:,} "
        f"chunks, ${report['usd']:,.6f}, in {place.run_dir}."
    )
    rejected = "; look at the rejects" if report["rejects"] else ""
    return Notice("settled", place, ("settled",), words, f"use the rows{rejected}", report)


def failed_notice(place: RunPlace, report: Mapping[str, Any], error: str) -> Notice:
    """Notice of a run that cannot go on; the error's message ends with the remedy."""
    marks = (f"failed-{kind_of(error)}",)
    after = "do what the message says, then call the same command again"
    return Notice("failed", place, marks, error, after, report)


def capped_notice(
    place: RunPlace, report: Mapping[str, Any], error: str, cap: float | None
) -> Notice:
    """Notice of a budget that is used up while work is left; sent once for each cap."""
    marks = (f"capped-{round((cap or 0) * 1e9)}",)
    after = "call again with the --max-usd of the message, or leave the rest"
    return Notice("capped", place, marks, error, after, report)


def stuck_notice(
    place: RunPlace, report: Mapping[str, Any], jobs: Sequence[str], resubmits: bool
) -> Notice:
    """Notice of jobs that hang; each of them is named once."""
    marks = tuple(f"stuck-{hashlib.sha256(job.encode()).hexdigest()[:16]}" for job in jobs)
    words = f"{len(jobs):,} jobs hang, for instance {jobs[0]}."
    after = (
        "nothing: they are cancelled and sent again"
        if resubmits
        else "wait, or set batch.on_stuck: resubmit to cancel them and send them again"
    )
    return Notice("stuck", place, marks, words, after, report, jobs)
