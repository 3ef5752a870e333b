"""Injected faults: their kinds, the requests and jobs they apply to, their effect on rows."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from reembed_emulator.errors import INTERNAL
from reembed_emulator.rows import Answer
from reembed_emulator.settings import explain
from reembed_emulator.state import FAILED


class Fault(BaseModel):
    """Base of all faults; `do` names the kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    do: str


AnyFault = TypeVar("AnyFault", bound=Fault)


class RequestFault(Fault):
    """Fault on HTTP requests: `on` is a route or `*`, the other fields choose the requests."""

    on: str
    nth: PositiveInt | None = None
    every: PositiveInt | None = None
    times: PositiveInt | None = None


class StatusFault(RequestFault):
    """Answer with a status instead of carrying out the call."""

    # Reported: a 429 on create, even with an empty queue, comes without Retry-After.
    status: int
    retry_after: int | float | str | None = None
    message: str = "Injected by the emulator."


class CutBefore(RequestFault):
    """Cut the connection before the call is carried out."""


class CutAfter(RequestFault):
    """Carry out the call and lose its answer."""

    # The costliest trap (confirmed): a create is not idempotent, so a client that sends it again
    # after a lost answer pays twice.


class CutBody(RequestFault):
    """End the answer after some bytes."""

    bytes: NonNegativeInt


class Delay(RequestFault):
    """Delay the answer."""

    seconds: NonNegativeFloat


class JobFault(Fault):
    """Fault on a job: `job` is its number of creation from 1, or `*`."""

    job: int | Literal["*"]


class ErrorFault(JobFault):
    """Fault that ends in an error with a code and a message."""

    code: int = INTERNAL
    message: str | None = None

    def status(self, what: str) -> dict[str, Any]:
        """Return the error as a `google.rpc.Status`."""
        text = self.message
        if text is None:
            text = f"Injected {what} of code {self.code}."
        return {"code": self.code, "message": text}


class FailJob(ErrorFault):
    """End the job as FAILED."""


class ShowState(JobFault):
    """End the job in a state, known to clients or not."""

    # Confirmed: the SDK never sees an unknown state as done, so a naive loop waits for ever.
    state: str
    done: bool = False


class Stuck(JobFault):
    """Leave the job PENDING until it expires."""

    # Reported (python-genai #1482, #2221, #2974): jobs that stay pending for days.


class SeemsEnded(ErrorFault):
    """Show the job as ended for some seconds after its creation, then in its real state."""

    # Reported: jobs that clients took for failed finished later, with results nobody collected.
    seconds: NonNegativeFloat
    state: str = FAILED


class RowFault(ErrorFault):
    """Damage the answers of chosen rows: by number from 0, or each n-th; all without either."""

    rows: list[int] | None = None
    every: PositiveInt = 1
    # Of `nan_row` and `short_row`; the others ignore them.
    bare: bool = False
    dimensions: NonNegativeInt = 0

    def chooses(self, index: int) -> bool:
        """Return whether the fault applies to a row."""
        if self.rows is not None:
            return index in self.rows
        return index % self.every == 0


SCRAMBLE = "scramble_keys"

_REQUEST_FAULTS: Mapping[str, type[RequestFault]] = {
    "status": StatusFault,
    "cut_before": CutBefore,
    "cut_after": CutAfter,
    "cut_body": CutBody,
    "delay": Delay,
}


def parse_fault(value: Any) -> RequestFault | JobFault:
    """Return a fault from its specification.

    Raises:
        ValueError: An unknown kind or field, a missing field, a value out of range.
    """
    if not isinstance(value, dict) or ("on" in value) == ("job" in value):
        raise ValueError(f"{value!r}: a fault is a mapping with either 'on' or 'job'")
    # Looked up here rather than by a union of pydantic, whose message names no remedy.
    kinds: Mapping[str, type[RequestFault] | type[JobFault]]
    kinds = _REQUEST_FAULTS if "on" in value else _JOB_FAULTS
    kind = kinds.get(str(value.get("do")))
    if kind is None:
        raise ValueError(f"{value!r}: 'do' must be one of {', '.join(sorted(kinds))}")
    try:
        return kind.model_validate(value)
    except ValidationError as err:
        raise ValueError(f"{value!r}: {explain(err)}") from err


def parse_job_faults(values: Iterable[Any]) -> list[JobFault]:
    """Return the faults that a job's record holds."""
    parsed = [parse_fault(value) for value in values]
    return [fault for fault in parsed if isinstance(fault, JobFault)]


def find_fault(faults: Sequence[JobFault], kind: type[AnyFault]) -> AnyFault | None:
    """Return the fault of a kind; of several, the last."""
    found = [fault for fault in faults if isinstance(fault, kind)]
    return found[-1] if found else None


def load_faults(path: Path) -> list[dict[str, Any]]:
    """Read the fault specifications of a YAML or JSON file; raise ValueError if it holds none."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, list):
        raise ValueError(f"{path} holds no list of faults, but {type(loaded).__name__}")
    return [_restore_on(fault) for fault in loaded]


def _restore_on(fault: Any) -> Any:
    # YAML 1.1 reads an unquoted `on` as true.
    if not isinstance(fault, dict):
        return fault
    return {"on" if name is True else name: value for name, value in fault.items()}


@dataclass(slots=True)
class _Counted:
    fault: RequestFault
    seen: int = 0
    used: int = 0

    def applies(self, route: str) -> bool:
        """Count a request, and return whether the fault applies."""
        fault = self.fault
        if fault.on not in ("*", route):
            return False
        # `nth` and `every` count the requests of the route, `times` those that were hit.
        self.seen += 1
        if fault.nth is not None and self.seen != fault.nth:
            return False
        if fault.every is not None and self.seen % fault.every:
            return False
        if fault.times is not None and self.used >= fault.times:
            return False
        self.used += 1
        return True


class Faults:
    """Active faults with counts of the requests they have met."""

    def __init__(self, specs: Sequence[Any] = ()) -> None:
        self._lock = threading.Lock()
        self.replace(specs)

    def replace(self, specs: Sequence[Any]) -> None:
        """Activate these faults instead of all others; raise ValueError for an invalid one."""
        faults = [parse_fault(spec) for spec in specs]
        with self._lock:
            self._faults = faults
            self._requests = [_Counted(one) for one in faults if isinstance(one, RequestFault)]

    def specs(self) -> list[dict[str, Any]]:
        """Return the specifications of the active faults."""
        return [fault.model_dump(exclude_unset=True) for fault in self._faults]

    def matching(self, route: str) -> list[RequestFault]:
        """Count a request of a route, and return the faults that apply to it, in their order."""
        with self._lock:
            return [counted.fault for counted in self._requests if counted.applies(route)]

    def of_job(self, number: int) -> list[dict[str, Any]]:
        """Return the specifications for the job with this number of creation, from 1."""
        return [
            fault.model_dump(exclude_unset=True)
            for fault in self._faults
            if isinstance(fault, JobFault) and fault.job in (number, "*")
        ]


class RowFaults:
    """Row faults of one job, applied to its answers as they are written."""

    def __init__(self, faults: Iterable[JobFault]) -> None:
        self._faults = [fault for fault in faults if isinstance(fault, RowFault)]
        self._waiting: Answer | None = None

    def fails(self, index: int) -> bool:
        """Return whether the row is made to fail: the statistics of the job must agree."""
        return any(fault.do == "fail_rows" and fault.chooses(index) for fault in self._faults)

    def apply(self, answer: Answer) -> list[Answer]:
        """Return the answers to write instead of one: none, one or more."""
        answers = [answer]
        for fault in self._faults:
            if not fault.chooses(answer.index):
                continue
            if fault.do == SCRAMBLE:
                answers = self._scramble(answers)
            else:
                change = _ROW_FAULTS[fault.do]
                answers = [changed for one in answers for changed in change(one, fault)]
        return answers

    def rest(self) -> list[Answer]:
        """Return the answer that still waits for a neighbour to exchange keys with."""
        waiting, self._waiting = self._waiting, None
        return [waiting] if waiting is not None else []

    def _scramble(self, answers: list[Answer]) -> list[Answer]:
        # Reported (python-genai #1909): keyed answers under the wrong key.
        out = []
        for answer in answers:
            first, self._waiting = self._waiting, None
            if first is None:
                self._waiting = answer
                continue
            out.append(dataclasses.replace(first, key=answer.key, metadata=answer.metadata))
            out.append(dataclasses.replace(answer, key=first.key, metadata=first.metadata))
        return out


def _fail_rows(answer: Answer, fault: RowFault) -> list[Answer]:
    return [dataclasses.replace(answer, values=None, error=fault.status("error"))]


def _drop_rows(answer: Answer, fault: RowFault) -> list[Answer]:
    # Confirmed: lines can be missing from a job that succeeded.
    return []


def _double_rows(answer: Answer, fault: RowFault) -> list[Answer]:
    # Assumed: no report of it, but no promise against it either.
    return [answer, answer]


def _unknown_key(answer: Answer, fault: RowFault) -> list[Answer]:
    stranger = f"stranger-{answer.index}"
    metadata = {"key": stranger} if answer.metadata is not None else None
    key = stranger if answer.key is not None else None
    return [dataclasses.replace(answer, key=key, metadata=metadata)]


def _no_keys(answer: Answer, fault: RowFault) -> list[Answer]:
    # Reported for inline metadata (python-genai #2008).
    return [dataclasses.replace(answer, key=None, metadata=None)]


def _nan_row(answer: Answer, fault: RowFault) -> list[Answer]:
    # Proto JSON writes the number as a string; `bare: true` writes what no JSON parser accepts.
    number = b"NaN" if fault.bare else b'"NaN"'
    return [_with_values(answer, lambda values: [number, *values[1:]])]


def _zero_row(answer: Answer, fault: RowFault) -> list[Answer]:
    return [_with_values(answer, lambda values: [b"0.0"] * len(values))]


def _short_row(answer: Answer, fault: RowFault) -> list[Answer]:
    # Reported: vectors of another size than the requested one.
    kept = fault.dimensions
    return [_with_values(answer, lambda values: values[: kept or len(values) // 2])]


# Values are changed as text, so that the digits of the others stay as they were.
def _with_values(answer: Answer, change: Callable[[list[bytes]], list[bytes]]) -> Answer:
    if answer.values is None:
        return answer
    values = change(answer.values.strip(b"[]").split(b","))
    return dataclasses.replace(answer, values=b"[" + b",".join(values) + b"]")


_ROW_FAULTS: Mapping[str, Callable[[Answer, RowFault], list[Answer]]] = {
    "fail_rows": _fail_rows,
    "drop_rows": _drop_rows,
    "double_rows": _double_rows,
    "unknown_key": _unknown_key,
    "no_keys": _no_keys,
    "nan_row": _nan_row,
    "zero_row": _zero_row,
    "short_row": _short_row,
}
_JOB_FAULTS: Mapping[str, type[JobFault]] = {
    "fail_job": FailJob,
    "state": ShowState,
    "stuck": Stuck,
    "seems_ended": SeemsEnded,
    **dict.fromkeys([*_ROW_FAULTS, SCRAMBLE], RowFault),
}
