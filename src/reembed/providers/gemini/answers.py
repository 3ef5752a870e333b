"""Stream the answer file of a batch job: JSON lines to key, vector, tokens or error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import simdjson
from numpy.typing import NDArray

from reembed.core.join import Answer
from reembed.core.row_errors import RowError
from reembed.providers.lines import MAX_LINE_BYTES, LineSplitter
from reembed.providers.rpc_status import error_from_status

_PIECE_BYTES = 64 * 1024

# What a forgiving parser may be given: it makes Python objects, about 16 bytes for each byte.
_MAX_FORGIVEN_BYTES = 1024 * 1024

_OBJECTS = (simdjson.Object, dict)
_ARRAYS = (simdjson.Array, list)

# Keys were seen first and last in a line, token counts in two places, errors in three (R).
_OF_LINE = ("key", "response", "error", "status", "usageMetadata")
_OF_RESPONSE = ("embedding", "tokenCount", "error", "usageMetadata")
_OF_STATUS = ("code", "status", "message")


class GeminiAnswerReader:
    """Parser of an answer, line by line as it comes; never raises on its content.

    Keys may stand anywhere in a line. Errors are read in each form that was seen: a top-level
    ``error``, one inside ``response``, a top-level ``status`` (code 0 means none). An answer's
    values live in the parser's buffer until the next one is asked for.

    Args:
        max_line_bytes: as for `LineSplitter`.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._lines = LineSplitter(max_line_bytes)
        self._parser = simdjson.Parser()

    def feed(self, piece: bytes) -> Iterator[Answer]:
        """Yield the answers that end in the next piece."""
        return map(self._parse, self._lines.feed(piece))

    def end(self) -> Iterator[Answer]:
        """Yield the last answer, where no newline ended it."""
        return map(self._parse, self._lines.end())

    def _parse(self, line: bytes | None) -> Answer:
        if line is None:
            return Answer(None, broken="too_long")
        return parse_line(self._parser, line)


def read_answers(stream: BinaryIO, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Answer]:
    """Parse an answer file in its order; see `GeminiAnswerReader`.

    Args:
        stream: binary, readable.
        max_line_bytes: as for `LineSplitter`.
    """
    reader = GeminiAnswerReader(max_line_bytes)
    while piece := stream.read(_PIECE_BYTES):
        yield from reader.feed(piece)
    yield from reader.end()


def parse_line(parser: simdjson.Parser, line: bytes) -> Answer:
    """Parse one line of an answer.

    Args:
        parser: reused from line to line for its buffers; nothing returned refers to it.
        line: one JSON document.
    """
    try:
        document = parser.parse(line)
    except (ValueError, RuntimeError):
        # Not strict JSON, or a number that no float64 holds, or nested too deep.
        return _parse_forgivingly(line)
    if not isinstance(document, simdjson.Object):
        return Answer(None, broken="not_json")
    return _answer(document)


def _parse_forgivingly(line: bytes) -> Answer:
    """Save the key of a line whose only fault is a NaN, an infinity or a stray surrogate."""
    if len(line) > _MAX_FORGIVEN_BYTES:
        return Answer(None, broken="not_json")
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return Answer(None, broken="not_json")
    if not isinstance(document, dict):
        return Answer(None, broken="not_json")
    return _answer(document)


def _answer(document: Any) -> Answer:
    key, response, error, status, usage = _members(document, _OF_LINE)
    embedding, count, inner_error, inner_usage = _members(response, _OF_RESPONSE)
    key = key if isinstance(key, str) else None
    tokens = _tokens(count, inner_usage, usage)
    for stated in (error, inner_error, status):
        refusal = None if stated is None else error_from_status(_plain(stated))
        if refusal is not None:
            return Answer(key, tokens=tokens, error=refusal)
    values = _values(*_members(embedding, ("values",)))
    if isinstance(values, RowError):
        return Answer(key, tokens=tokens, error=values)
    return Answer(key, values, tokens)


def _members(document: Any, names: tuple[str, ...]) -> list[Any]:
    """Look members of a JSON object up; None for each that it lacks, or where it is no object."""
    if not isinstance(document, _OBJECTS):
        return [None] * len(names)
    # Asked only for what is there: a miss is a C++ exception, as dear as fifty values.
    present = tuple(document)
    return [document[name] if name in present else None for name in names]


def _values(array: Any) -> NDArray[np.float64] | RowError:
    if array is None:
        return RowError("no_vector", "the answer has neither a vector nor an error")
    if not isinstance(array, _ARRAYS):
        return RowError("not_finite", "the vector is not a list of numbers")
    try:
        if isinstance(array, simdjson.Array):
            values = np.frombuffer(array.as_buffer(of_type="d"), np.float64)
        elif all(type(value) in (int, float) for value in array):
            values = np.array([float(value) for value in array], np.float64)
        else:
            raise TypeError("not numbers")
    except (TypeError, ValueError, OverflowError):
        return RowError("not_finite", "the vector holds something that is not a number")
    if len(values) != len(array):
        return RowError("not_finite", "the vector is not a flat list of numbers")
    return values


def _tokens(count: Any, *usages: Any) -> int | None:
    """Take the token count from the first of its known places that has one."""
    tokens = _whole(count)
    for usage in usages:
        if tokens is None and usage is not None:
            prompt, total = _members(usage, ("promptTokenCount", "totalTokenCount"))
            tokens = _whole(prompt)
            tokens = _whole(total) if tokens is None else tokens
    return tokens


def _whole(value: Any) -> int | None:
    """Read an int64 as JSON carries it: a number, or its digits as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    return None


def _plain(value: Any) -> Any:
    """Turn a status into Python objects: its known members, whatever else it may hold."""
    if isinstance(value, simdjson.Object):
        return dict(zip(_OF_STATUS, _members(value, _OF_STATUS), strict=True))
    return None if isinstance(value, _ARRAYS) else value
