"""Request bodies of the service, and their size in bytes before anything is sent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reembed.config.schema import Config
from reembed.config.tasks import DOCUMENT_TASK, TaskStyle, clean_title, wrap_text
from reembed.core.wire import MediaPart, MixedPart, Part, TextPart, contents_of
from reembed.errors import RejectError


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Parts that all requests of a run share; `style` says where the task stands."""

    model: str
    dimensions: int
    task: str
    style: TaskStyle

    @classmethod
    def of(cls, config: Config) -> RequestOptions:
        """Take the options from a configuration."""
        model = config.model
        return cls(model.name, model.dimensions, model.task, model.spec().task_style)


def embed_request(part: Part, options: RequestOptions) -> dict[str, Any]:
    """Make an EmbedContentRequest as a JSON object, without `model` (see `inline_request`).

    ``outputDimensionality`` stands at the top level: inside ``embedContentConfig`` the service
    was measured to ignore it. Media carry no task text; texts beside them do.
    """
    if isinstance(part, MixedPart):
        parts = [_wire_part(each, options) for each in part.parts]
    else:
        parts = [_wire_part(part, options)]
    body: dict[str, Any] = {"content": {"parts": parts}}
    # `taskType` is not supported by gemini-embedding-2 (C): there the task stands in the text.
    if options.style == "field":
        body["taskType"] = options.task.upper()
        texts = (each for each in contents_of(part) if isinstance(each, TextPart))
        title = next((clean_title(text.title) or "" for text in texts), "")
        if title and options.task == DOCUMENT_TASK:
            body["title"] = title
    # The dimension that comes back is checked all the same: a smaller one was once ignored (R).
    body["outputDimensionality"] = options.dimensions
    return body


def _wire_part(part: TextPart | MediaPart, options: RequestOptions) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": wrap_text(options.style, options.task, part.title, part.text)}
    # Base64 needs no escaping: a fragment spares a copy and a scan of what may be 500 MB.
    data = orjson.Fragment(b'"%b"' % base64.b64encode(part.data))
    return {"inlineData": {"mimeType": part.mime_type, "data": data}}


def jsonl_line(key: str, request: Mapping[str, Any]) -> bytes:
    """Write one line of a job's input file, with its newline; `request` is from `embed_request`.

    The vendor's examples leave `model` out of the lines, and the create call names it.

    Raises:
        RejectError: as `to_json`.
    """
    return to_json({"key": key, "request": request}, orjson.OPT_APPEND_NEWLINE)


def inline_request(model: str, key: str, request: Mapping[str, Any]) -> bytes:
    """Write one request of an inline job; here the schema wants the model in each request.

    Raises:
        RejectError: as `to_json`.
    """
    named = {"model": f"models/{model}", **request}
    return to_json({"request": named, "metadata": {"key": key}})


def to_json(body: Mapping[str, Any], option: int = 0) -> bytes:
    """Write what is sent as JSON in UTF-8; `option` is orjson's.

    Raises:
        RejectError: the text holds code points that UTF-8 cannot carry (lone surrogates).
    """
    try:
        return orjson.dumps(body, option=option)
    except orjson.JSONEncodeError as err:
        raise RejectError(
            "text_not_unicode",
            f"the text holds code points that UTF-8 cannot carry ({err}); decode the source anew",
        ) from err


# Around the text or the base64 of a request: braces, field names, taskType, dimension, MIME type,
# model and metadata of the inline form come to some 270 bytes; 64 more are the key's.
ENVELOPE_BYTES = 384
MAX_KEY_CHARS = 64

# One value of a result. Seen: 39 KB a line at 3,072 values and 10 KB at 768, that is 12.7 bytes
# with the comma, so the service prints single precision. The longest shortest form of a float32
# is -1.2345678e-05 or -0.00012345678, 14 characters; with ", " that is 16.
_BYTES_PER_VALUE = 16
# Key, token counts, usageMetadata, field names, white space of a pretty printer.
_RESULT_ENVELOPE_BYTES = 512
# A double printed in full, -1.2345678901234567e-05, with ", ": what a reader must still accept.
_MAX_BYTES_PER_VALUE = 26
_MAX_ENVELOPE_BYTES = 64 * 1024


def result_line_bytes(dimensions: int) -> int:
    """Predict the bytes of one result line: ``16 d + 512``, an upper bound in single precision.

    About a quarter above what was seen (39 KB at 3,072), so that quotas of file storage hold. A
    service that prints doubles is up to half above it: jobs grow, but nothing breaks, since
    results are read as streams up to `max_result_line_bytes`.
    """
    return _BYTES_PER_VALUE * dimensions + _RESULT_ENVELOPE_BYTES


def max_result_line_bytes(dimensions: int) -> int:
    """Bound the length of an answer's line: doubles in full, and 64 KiB for an error's words."""
    return _MAX_BYTES_PER_VALUE * dimensions + _MAX_ENVELOPE_BYTES


def media_request_bytes(media_bytes: int) -> int:
    """Count the bytes of a line with media: base64, and what stands around it."""
    return 4 * -(-media_bytes // 3) + ENVELOPE_BYTES


def text_request_bytes(style: TaskStyle, task: str, title: str | None, text: str) -> int:
    """Count the bytes of a text's line with task and title, escapes one by one.

    Raises:
        orjson.JSONEncodeError: the text holds lone surrogates.
    """
    size = len(orjson.dumps(wrap_text(style, task, title, text))) + ENVELOPE_BYTES
    if style == "field" and task == DOCUMENT_TASK:
        size += len(orjson.dumps(clean_title(title) or ""))
    return size


def request_bytes(part: Part, options: RequestOptions) -> int:
    """Count the bytes of the line of a part that is at hand; never less than are sent."""
    if isinstance(part, MixedPart):
        return sum(request_bytes(each, options) for each in part.parts)
    if isinstance(part, MediaPart):
        return media_request_bytes(len(part.data))
    return text_request_bytes(options.style, options.task, part.title, part.text)
