"""Notices to people: an event of a run with its numbers, as JSON or as a line of text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from reembed.config.notifications import NoticeEvent

_COUNTS = ("planned", "rows", "rejects", "skipped", "shards", "settled_shards", "jobs")
_DOLLARS = ("usd", "usd_reserved", "usd_planned")
_KIND_DIGITS = 8


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Which run is spoken of; `run` is empty and `commit` 0 before anything was committed."""

    name: str
    run: str
    commit: int
    generation: int
    run_dir: str


@dataclass(frozen=True, slots=True)
class Notice:
    """An event of a run. `marks` are what it tells of, each of which is told once.

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
        """The same for the same news, so that who is told twice can see it."""
        mark = self.event if self.event == "stuck" else self.marks[0]
        return f"{self.place.run or self.place.name}.g{self.place.generation}.{mark}"

    def as_json(self) -> dict[str, Any]:
        """The body, schema 1."""
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
        said = f"{self.event}: {_plain(self.message)} Next: {self.next}."
        return " ".join(word for word in ("reembed", place.name, place.run, said) if word)

    def body(self, text_alone: bool) -> bytes:
        """The body as it is sent."""
        return orjson.dumps({"text": self.text()} if text_alone else self.as_json())


def _plain(text: str) -> str:
    """A text as JSON takes it: names of files may hold bytes that are no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def kind_of(message: str) -> str:
    """A short digest, the same for messages that differ only in numbers and names of jobs."""
    words = [word for word in _plain(message).split() if not any(sign.isdigit() for sign in word)]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:_KIND_DIGITS]
