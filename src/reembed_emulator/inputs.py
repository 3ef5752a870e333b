"""The input of a job: lines that are read strictly, and scanned once when the job is created."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reembed_emulator.messages import INLINED_REQUEST, LINE
from reembed_emulator.protojson import PayloadError, parse


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one request of a job: what names it, and the parsed request itself."""

    key: str | None
    metadata: dict[str, Any] | None
    request: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scan:
    """Hold what a scan of an input found: lines, tokens, and the first problem if any."""

    total: int
    tokens: int
    problem: str


def read_row(line: bytes, model: str, inline: bool) -> Row:
    """Read one line of an input.

    Raises:
        PayloadError: A blank line, no JSON, an unknown field, a wrong type, no request, or the
            name of another model.
    """
    if not line.strip():
        raise PayloadError("the line is blank")
    try:
        loaded = orjson.loads(line)
    except orjson.JSONDecodeError as err:
        raise PayloadError(f"the line is not JSON: {err}") from err
    parsed = parse(INLINED_REQUEST if inline else LINE, loaded)
    request = parsed.get("request")
    if request is None:
        raise PayloadError("the request is missing")
    named = request.get("model")
    if named is not None and named != f"models/{model}":
        raise PayloadError(f"model {named!r} is not the batch's model 'models/{model}'")
    return Row(parsed.get("key"), parsed.get("metadata"), request)


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file without their ends."""
    with path.open("rb") as stream:
        for line in stream:
            yield line[:-1] if line.endswith(b"\n") else line


def line_starts(path: Path) -> list[int]:
    """Return the byte offset of each line, and the end of the file as the last element."""
    starts = [0]
    with path.open("rb") as stream:
        for line in stream:
            starts.append(starts[-1] + len(line))
    return starts


def scan(
    path: Path, model: str, inline: bool, count_tokens: Callable[[Mapping[str, Any]], int]
) -> Scan:
    """Count the lines and tokens of an input and find its first problem."""
    total, tokens, problem = 0, 0, ""
    for number, line in enumerate(lines(path), start=1):
        total = number
        try:
            tokens += count_tokens(read_row(line, model, inline).request)
        except PayloadError as err:
            problem = problem or f"Invalid input at line {number}: {err.message}"
    if total == 0:
        problem = "The input file has no requests."
    return Scan(total, tokens, problem)
