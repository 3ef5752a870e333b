"""Faults on request: which requests and which jobs are to go wrong, and how."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reembed_emulator.row_faults import row_fault_names

# What each kind of fault needs beside `do`, and what it may have.
_REQUEST_FAULTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "status": (frozenset({"status"}), frozenset({"retry_after", "message"})),
    "cut_before": (frozenset(), frozenset()),
    "cut_after": (frozenset(), frozenset()),
    "cut_body": (frozenset({"bytes"}), frozenset()),
    "delay": (frozenset({"seconds"}), frozenset()),
}
_JOB_FAULTS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "fail_job": (frozenset(), frozenset({"code", "message"})),
    "state": (frozenset({"state"}), frozenset({"done"})),
    "stuck": (frozenset(), frozenset()),
    "seems_ended": (frozenset({"seconds"}), frozenset({"state", "code", "message"})),
    **{
        name: (
            frozenset(),
            frozenset({"rows", "every", "code", "message", "bare", "dimensions"}),
        )
        for name in row_fault_names()
    },
}
_WHEN = frozenset({"nth", "every", "times"})


@dataclass(slots=True)
class _RequestFault:
    spec: Mapping[str, Any]
    seen: int = 0
    used: int = field(default=0)

    def meets(self, route: str) -> bool:
        """Count a request, and return whether the fault strikes it."""
        if self.spec["on"] not in ("*", route):
            return False
        self.seen += 1
        if "nth" in self.spec and self.seen != self.spec["nth"]:
            return False
        if "every" in self.spec and self.seen % self.spec["every"]:
            return False
        if self.used >= self.spec.get("times", self.used + 1):
            return False
        self.used += 1
        return True


class Faults:
    """Hold the faults in force, and count what they have met."""

    def __init__(self, faults: Sequence[Mapping[str, Any]] = ()) -> None:
        self._lock = threading.Lock()
        self.replace(faults)

    def replace(self, faults: Sequence[Mapping[str, Any]]) -> None:
        """Put these faults in force instead of all others.

        Raises:
            ValueError: A fault that is not known, or lacks or has too many of its fields.
        """
        for fault in faults:
            _check(fault)
        with self._lock:
            self._specs = [dict(fault) for fault in faults]
            self._requests = [_RequestFault(spec) for spec in self._specs if "on" in spec]

    def specs(self) -> list[dict[str, Any]]:
        """Return the faults in force."""
        return list(self._specs)

    def strike(self, route: str) -> list[Mapping[str, Any]]:
        """Count a request of a route, and return the faults that strike it, in their order."""
        with self._lock:
            return [fault.spec for fault in self._requests if fault.meets(route)]

    def of_job(self, number: int) -> list[dict[str, Any]]:
        """Return the faults of the job with this number of creation, from 1."""
        return [spec for spec in self._specs if spec.get("job") in (number, "*")]


def load_faults(path: Path) -> list[dict[str, Any]]:
    """Read a YAML or JSON file with a list of faults; raise ValueError if it holds none."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, list):
        raise ValueError(f"{path} holds no list of faults, but {type(loaded).__name__}")
    return [_with_on(fault) for fault in loaded]


def _with_on(fault: Any) -> Any:
    # YAML 1.1 reads an unquoted `on` as true.
    if not isinstance(fault, dict):
        return fault
    return {"on" if name is True else name: value for name, value in fault.items()}


def _check(fault: Any) -> None:
    if not isinstance(fault, dict) or ("on" in fault) == ("job" in fault):
        raise ValueError(f"{fault!r}: a fault is a mapping with either 'on' or 'job'")
    kinds = _REQUEST_FAULTS if "on" in fault else _JOB_FAULTS
    kind = kinds.get(fault.get("do", ""))
    if kind is None:
        raise ValueError(f"{fault!r}: 'do' must be one of {', '.join(sorted(kinds))}")
    needed, optional = kind
    given = set(fault) - {"on", "job", "do"}
    when = _WHEN if "on" in fault else frozenset()
    if missing := needed - given:
        raise ValueError(f"{fault!r}: {', '.join(sorted(missing))} is missing")
    if extra := given - needed - optional - when:
        raise ValueError(f"{fault!r}: {', '.join(sorted(extra))} is not known")
    seconds = fault.get("seconds", 0)
    if not isinstance(seconds, int | float) or seconds < 0:
        raise ValueError(f"{fault!r}: seconds must be a number from 0")
    for name in ("nth", "every", "times"):
        if name in fault and (not isinstance(fault[name], int) or fault[name] < 1):
            raise ValueError(f"{fault!r}: {name} must be a whole number from 1")
