"""Damage to the answers of a job, row by row, for rehearsals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reembed_emulator.answers import Answer

_ROW_FAULTS: dict[str, Callable[[Answer, Mapping[str, Any]], list[Answer]]] = {}
SCRAMBLE = "scramble_keys"


def row_fault_names() -> frozenset[str]:
    """Return the names of all faults that act on rows."""
    return frozenset({*_ROW_FAULTS, SCRAMBLE})


class RowFaults:
    """Apply the row faults of one job to its answers as they are written."""

    def __init__(self, faults: Iterable[Mapping[str, Any]]) -> None:
        self._faults = [fault for fault in faults if fault["do"] in row_fault_names()]
        self._held: Answer | None = None

    def fails(self, index: int) -> bool:
        """Return whether the row is made to fail, so that the statistics say so too."""
        return any(fault["do"] == "fail_rows" and _chosen(fault, index) for fault in self._faults)

    def apply(self, answer: Answer) -> list[Answer]:
        """Return what is written instead of an answer: none, one or more."""
        answers = [answer]
        for fault in self._faults:
            if not _chosen(fault, answer.index):
                continue
            if fault["do"] == SCRAMBLE:
                answers = self._scramble(answers)
            else:
                act = _ROW_FAULTS[fault["do"]]
                answers = [changed for one in answers for changed in act(one, fault)]
        return answers

    def rest(self) -> list[Answer]:
        """Return the answer that was held back for a partner that did not come."""
        held, self._held = self._held, None
        return [held] if held is not None else []

    def _scramble(self, answers: list[Answer]) -> list[Answer]:
        out = []
        for answer in answers:
            held, self._held = self._held, None
            if held is None:
                self._held = answer
                continue
            swapped = dataclasses.replace(held, key=answer.key, metadata=answer.metadata)
            out += [swapped, dataclasses.replace(answer, key=held.key, metadata=held.metadata)]
        return out


def _chosen(fault: Mapping[str, Any], index: int) -> bool:
    if "rows" in fault:
        return index in fault["rows"]
    return index % int(fault.get("every", 1)) == 0


def _row_fault(
    act: Callable[[Answer, Mapping[str, Any]], list[Answer]],
) -> Callable[[Answer, Mapping[str, Any]], list[Answer]]:
    _ROW_FAULTS[act.__name__.strip("_")] = act
    return act


@_row_fault
def _fail_rows(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    code = int(fault.get("code", 13))
    error = {"code": code, "message": fault.get("message", f"Injected error of code {code}.")}
    return [dataclasses.replace(answer, values=None, error=error)]


@_row_fault
def _drop_rows(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    return []


@_row_fault
def _double_rows(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    return [answer, answer]


@_row_fault
def _unknown_key(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    stranger = f"stranger-{answer.index}"
    metadata = {"key": stranger} if answer.metadata is not None else None
    key = stranger if answer.key is not None else None
    return [dataclasses.replace(answer, key=key, metadata=metadata)]


@_row_fault
def _no_keys(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    return [dataclasses.replace(answer, key=None, metadata=None)]


@_row_fault
def _nan_row(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    # Proto JSON writes the number as a string; `bare: true` writes what no JSON parser takes.
    number = b"NaN" if fault.get("bare") else b'"NaN"'
    return [_with_values(answer, lambda values: [number, *values[1:]])]


@_row_fault
def _zero_row(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    return [_with_values(answer, lambda values: [b"0.0"] * len(values))]


@_row_fault
def _short_row(answer: Answer, fault: Mapping[str, Any]) -> list[Answer]:
    kept = int(fault.get("dimensions", 0))
    return [_with_values(answer, lambda values: values[: kept or len(values) // 2])]


def _with_values(answer: Answer, change: Callable[[list[bytes]], list[bytes]]) -> Answer:
    if answer.values is None:
        return answer
    values = change(answer.values.strip(b"[]").split(b","))
    return dataclasses.replace(answer, values=b"[" + b",".join(values) + b"]")
