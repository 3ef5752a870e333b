"""Rows of a job: input lines, read strictly, and answer lines, written in the forms seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reembed_emulator.messages import EmbedRequest, InlinedRequest, InputLine, PayloadError, parse


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a job with its key (file input) or metadata (inline input)."""

    key: str | None
    metadata: dict[str, Any] | None
    request: EmbedRequest


@dataclass(frozen=True, slots=True)
class InputSummary:
    """Lines and tokens of an input, and its first problem if there is one."""

    total: int
    tokens: int
    problem: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of one row.

    Attributes:
        index: The row's place in the input, from 0.
        key: Of a JSONL line; None if it had none.
        metadata: Of an inline request; None if it had none.
        values: The vector as a JSON array; None when `error` is set.
        tokens: Tokens billed for the row.
        error: A `google.rpc.Status`; None for a vector.
    """

    index: int
    key: str | None
    metadata: dict[str, Any] | None
    values: bytes | None
    tokens: int
    error: dict[str, Any] | None = None


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
    key, metadata = None, None
    if inline:
        inlined = parse(InlinedRequest, loaded)
        request, metadata = inlined.request, inlined.metadata
    else:
        keyed = parse(InputLine, loaded)
        request, key = keyed.request, keyed.key
    if request is None:
        raise PayloadError("the request is missing")
    # The schema requires a model in each line, the vendor's examples leave it out: both are read.
    if request.model is not None and request.model != f"models/{model}":
        raise PayloadError(f"model {request.model!r} is not the batch's model 'models/{model}'")
    return Row(key, metadata, request)


def line_starts(path: Path) -> list[int]:
    """Return the byte offset of each line, and the end of the file as the last element."""
    starts = [0]
    with path.open("rb") as stream:
        for line in stream:
            starts.append(starts[-1] + len(line))
    return starts


def scan_input(
    path: Path, model: str, inline: bool, count_tokens: Callable[[EmbedRequest], int]
) -> InputSummary:
    """Count the lines and tokens of an input and find its first problem."""
    total, tokens, problem = 0, 0, ""
    for number, line in enumerate(_lines(path), start=1):
        total = number
        try:
            tokens += count_tokens(read_row(line, model, inline).request)
        except PayloadError as err:
            problem = problem or f"Invalid input at line {number}: {err.message}"
    if total == 0:
        problem = "The input file has no requests."
    return InputSummary(total, tokens, problem)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for line in stream:
            yield line.removesuffix(b"\n")


def render(answer: Answer) -> bytes:
    """Return an answer as one line of JSON.

    The forms that were seen on the service alternate by row, so that a reader meets all of them:
    the key first or last, with and without `usageMetadata`. Counts are int64, hence strings.
    """
    named = _named(answer)
    body = _error(answer) if answer.error is not None else _response(answer)
    parts = [*named, body] if answer.index % 2 == 0 else [body, *named]
    return b"{" + b",".join(parts) + b"}\n"


def _named(answer: Answer) -> list[bytes]:
    named = []
    if answer.key is not None:
        named.append(b'"key":' + orjson.dumps(answer.key))
    if answer.metadata is not None:
        named.append(b'"metadata":' + orjson.dumps(answer.metadata))
    return named


def _error(answer: Answer) -> bytes:
    return b'"error":' + orjson.dumps(answer.error)


def _response(answer: Answer) -> bytes:
    embedding = b'"embedding":{"values":' + (answer.values or b"[]") + b"}"
    count = b'"tokenCount":"%d"' % answer.tokens
    parts = [embedding, count] if answer.index % 3 else [count, embedding]
    if answer.index % 4 == 1:
        usage = b'"usageMetadata":{"promptTokenCount":%d,"totalTokenCount":%d}'
        parts.append(usage % (answer.tokens, answer.tokens))
    return b'"response":{' + b",".join(parts) + b"}"
