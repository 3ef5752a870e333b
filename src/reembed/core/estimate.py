"""Bytes on the wire before anything is sent: of a request's line and of a result's line."""

from __future__ import annotations

import orjson

from reembed.core.requests import MediaPart, MixedPart, Part, RequestOptions
from reembed.core.tasks import DOCUMENT_TASK, TaskStyle, clean_title, wrap_text

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
    """The longest line that can be an answer: doubles in full, and 64 KiB for an error's words."""
    return _MAX_BYTES_PER_VALUE * dimensions + _MAX_ENVELOPE_BYTES


def media_request_bytes(media_bytes: int) -> int:
    """Bytes of the line of a picture, sound, film or PDF: base64 and what stands around it."""
    return 4 * -(-media_bytes // 3) + ENVELOPE_BYTES


def text_request_bytes(style: TaskStyle, task: str, title: str | None, text: str) -> int:
    """Bytes of the line of a text with its task's words and title, escapes counted one by one.

    Raises:
        orjson.JSONEncodeError: the text holds lone surrogates.
    """
    size = len(orjson.dumps(wrap_text(style, task, title, text))) + ENVELOPE_BYTES
    if style == "field" and task == DOCUMENT_TASK:
        size += len(orjson.dumps(clean_title(title)))
    return size


def request_bytes(part: Part, options: RequestOptions) -> int:
    """Bytes of the line of a part that is at hand; never less than what is sent."""
    if isinstance(part, MixedPart):
        return sum(request_bytes(each, options) for each in part.parts)
    if isinstance(part, MediaPart):
        return media_request_bytes(len(part.data))
    return text_request_bytes(options.style, options.task, part.title, part.text)
