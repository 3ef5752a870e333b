"""Write the answer of a row: a line of a result file, or an element of an inline reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold how one row ended.

    Attributes:
        index: The row's place in the input, from 0.
        key: Of a JSONL line; None if it had none.
        metadata: Of an inline request; None if it had none.
        values: The vector as a JSON array; None when `error` is set.
        tokens: What the row is billed.
        error: A `google.rpc.Status`; None for a vector.
    """

    index: int
    key: str | None
    metadata: dict[str, Any] | None
    values: bytes | None
    tokens: int
    error: dict[str, Any] | None = None


def render(answer: Answer) -> bytes:
    """Return the JSON of an answer on one line, with its end of line.

    The forms that were seen on the service alternate by row: the key first or last, with and
    without `usageMetadata`.
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
