"""Parse raw answers of the service into our types; pure, tolerant of missing fields."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import orjson

from reembed.errors import ServiceError
from reembed.providers.base import Job, JobState, JobStats, RemoteError, RemoteFile

# Names come from answers and go into URLs and paths: nothing that could lead elsewhere.
_JOB_NAME = re.compile(r"batches/[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_FILE_NAME = re.compile(r"files/[A-Za-z0-9_-]{1,200}")
_INT64 = re.compile(r"-?[0-9]{1,19}")
_STATE_PREFIX = re.compile(r"^(BATCH|JOB)_STATE_")
_STATES = frozenset({"PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})
# The schema's name (C), and one that some answers bore (R).
_INLINE_KEYS = ("inlinedResponses", "inlinedEmbedContentResponses")
_CANCELLED_CODE = 1  # google.rpc.Code.CANCELLED
_SHOWN = 500


def parse_json(body: bytes, what: str) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        ServiceError: it is no JSON object; the message shows how it begins.
    """
    try:
        value = _loads(body)
    except (ValueError, RecursionError) as err:
        raise ServiceError(f"{what}: the answer is not JSON: {one_line(body)!r}") from err
    if not isinstance(value, dict):
        raise ServiceError(f"{what}: the answer is not a JSON object: {one_line(body)!r}")
    return value


def _loads(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # NaN and lone surrogates: one bad row of an inline answer must not hide the others.
        return json.loads(body)


def dump_json(value: object) -> bytes:
    """Encode as compact JSON in one line, whatever `parse_json` has let in."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def one_line(text: bytes | str, limit: int = _SHOWN) -> str:
    """Make remote text fit for a message: one line, printable, at most `limit` characters."""
    if isinstance(text, bytes):
        text = text[: limit * 4].decode("utf-8", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def checked_job_name(name: object) -> str:
    """Return a job's name, or raise `ServiceError` when it is not ``batches/<id>``."""
    if isinstance(name, str) and _JOB_NAME.fullmatch(name):
        return name
    raise ServiceError(f"{one_line(repr(name), 120)} is no job name: batches/<id> is expected")


def checked_file_name(name: object) -> str:
    """Return a file's name, or raise `ServiceError` when it is not ``files/<id>``."""
    if isinstance(name, str) and _FILE_NAME.fullmatch(name):
        return name
    raise ServiceError(f"{one_line(repr(name), 120)} is no file name: files/<id> is expected")


def parse_operation(raw: Mapping[str, Any]) -> Job:
    """Read an Operation, as create, get and list answer it.

    int64 may be text, zero counts may be absent. The state is ``metadata.state``; without one it
    follows from ``done``, ``error`` and ``response``. Output is looked for in ``metadata.output``,
    ``response.output`` and ``response``, in this order.

    Raises:
        ServiceError: it has no usable name.
    """
    metadata = _dict(raw.get("metadata")) or (dict(raw) if "state" in raw else {})
    name = checked_job_name(raw.get("name") or metadata.get("name"))
    error = _parse_error(raw.get("error"))
    state, raw_state = _parse_state(raw, metadata, error)
    outputs = _outputs(raw, metadata)
    return Job(
        name=name,
        display_name=one_line(_text(metadata.get("displayName"))),
        state=state,
        raw_state=raw_state,
        stats=_parse_stats(_dict(metadata.get("batchStats"))),
        error=error,
        create_time=_text(metadata.get("createTime")),
        end_time=_text(metadata.get("endTime")),
        input_file=_text(_dict(metadata.get("inputConfig")).get("fileName")),
        responses_file=next(filter(None, (_text(o.get("responsesFile")) for o in outputs)), ""),
        inline_responses=_inline(outputs),
        model=_text(metadata.get("model")),
        priority=_int(metadata.get("priority")),
    )


def parse_file(raw: Mapping[str, Any]) -> RemoteFile:
    """Read a File, alone or wrapped in ``{"file": …}`` as uploads answer it.

    Raises:
        ServiceError: it has no usable name.
    """
    inner = _dict(raw.get("file")) or raw
    return RemoteFile(
        name=checked_file_name(inner.get("name")),
        size_bytes=_int(inner.get("sizeBytes")),
        mime_type=_text(inner.get("mimeType")),
        expires=_text(inner.get("expirationTime")),
    )


def parse_vector(raw: Mapping[str, Any]) -> list[float]:
    """Read ``embedding.values`` of an online answer.

    Raises:
        ServiceError: there are none, or one is not a number.
    """
    values = _dict(raw.get("embedding")).get("values")
    numbers = values if isinstance(values, list) else []
    if not numbers or not all(type(v) in (int, float) for v in numbers):
        raise ServiceError(f"the answer holds no vector: {one_line(dump_json(dict(raw)))!r}")
    return [float(v) for v in numbers]


def answer_lines(responses: tuple[dict[str, Any], ...]) -> Iterator[bytes]:
    r"""Write inline answers as result lines with ``\n``, the key first when one came back."""
    for entry in responses:
        key = _dict(entry.get("metadata")).get("key")
        line: dict[str, Any] = {"key": key} if isinstance(key, str) else {}
        line.update((k, v) for k, v in entry.items() if k != "metadata" and k not in line)
        yield dump_json(line) + b"\n"


def _parse_state(
    raw: Mapping[str, Any], metadata: Mapping[str, Any], error: RemoteError | None
) -> tuple[JobState, str]:
    # A word that is not known yet is possible: it must not pass for an end, nor be waited for
    # without one (users of the SDK waited for ever, C).
    given = metadata.get("state")
    if given is None or given == "":
        return _state_of_operation(raw, error), ""
    word = given if isinstance(given, str) else repr(given)
    bare = _STATE_PREFIX.sub("", word)
    return (cast(JobState, bare) if bare in _STATES else "UNKNOWN"), one_line(word, 80)


def _state_of_operation(raw: Mapping[str, Any], error: RemoteError | None) -> JobState:
    if raw.get("done") is not True:
        return "PENDING"
    if error is not None:
        return "CANCELLED" if error.code == _CANCELLED_CODE else "FAILED"
    return "SUCCEEDED" if isinstance(raw.get("response"), dict) else "UNKNOWN"


def _parse_error(value: object) -> RemoteError | None:
    error = _dict(value)
    if not error:
        return None
    return RemoteError(_int(error.get("code")), one_line(_text(error.get("message"))))


def _parse_stats(stats: Mapping[str, Any]) -> JobStats:
    return JobStats(
        total=_int(stats.get("requestCount")),
        succeeded=_int(stats.get("successfulRequestCount")),
        failed=_int(stats.get("failedRequestCount")),
        pending=_int(stats.get("pendingRequestCount")),
    )


def _outputs(raw: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    # All three places are in the schema or were seen in answers (C): the first that has it counts.
    response = _dict(raw.get("response"))
    return _dict(metadata.get("output")), _dict(response.get("output")), response


def _inline(outputs: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...] | None:
    for output in outputs:
        for key in _INLINE_KEYS:
            if key in output:
                return _entries(output[key])
    return None


def _entries(value: object) -> tuple[dict[str, Any], ...]:
    if isinstance(value, dict):
        value = next((value[key] for key in _INLINE_KEYS if key in value), [])
    # An entry that is no object stays as an empty one: a dropped one would shift the count.
    return tuple(_dict(entry) for entry in value) if isinstance(value, list) else ()


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(value: object) -> int:
    if isinstance(value, str):
        return int(value) if _INT64.fullmatch(value) else 0
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else 0
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
