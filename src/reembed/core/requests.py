"""The wire form of what is sent: one request, one Content, one vector."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from reembed.config.schema import Config
from reembed.core.tasks import DOCUMENT_TASK, TaskStyle, clean_title, wrap_text
from reembed.errors import RejectError


class TextPart(NamedTuple):
    """A text to embed, and the title that the service may use with documents."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class MediaPart:
    """The bytes of a picture, sound, film or PDF, as they will be sent."""

    data: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class MixedPart:
    """Several contents of one request, in order; one vector."""

    parts: tuple[TextPart | MediaPart, ...]


Part = TextPart | MediaPart | MixedPart


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What is the same in every request of a run; `style` says how the model is told the task."""

    model: str
    dimensions: int
    task: str
    style: TaskStyle

    @classmethod
    def of(cls, config: Config) -> RequestOptions:
        """The options of a configuration."""
        model = config.model
        return cls(model.name, model.dimensions, model.task, model.spec().task_style)


def embed_request(part: Part, options: RequestOptions) -> dict[str, Any]:
    """An EmbedContentRequest as its JSON object, without `model` (see `inline_request`).

    ``outputDimensionality`` stands at the top level: inside ``embedContentConfig`` the service
    was measured to ignore it. Media carry no task text; texts beside them do.
    """
    if isinstance(part, MixedPart):
        parts = [_wire_part(each, options) for each in part.parts]
    else:
        parts = [_wire_part(part, options)]
    body: dict[str, Any] = {"content": {"parts": parts}}
    if options.style == "field":
        body["taskType"] = options.task.upper()
        texts = (each for each in contents_of(part) if isinstance(each, TextPart))
        title = next((clean_title(text.title) for text in texts), "")
        if title and options.task == DOCUMENT_TASK:
            body["title"] = title
    body["outputDimensionality"] = options.dimensions
    return body


def contents_of(part: Part) -> tuple[TextPart | MediaPart, ...]:
    """The contents of a request, in order."""
    return part.parts if isinstance(part, MixedPart) else (part,)


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
