"""Check a request against the wire format and the model's limits, without the service.

It is asked where the service refused a whole job as malformed and its words name no request: what
is found here need not be found by splitting, at a job a piece. The line is parsed anew as the
service would; what wrote it is not believed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reembed.config.models import ModelSpec
from reembed.config.schema import Config
from reembed.core.names import parse_wire_key
from reembed.core.wire import MediaPart, Part, TextPart, contents_of

_PDF = "application/pdf"
_LINE_FIELDS = frozenset({"key", "request"})
_INLINE_FIELDS = frozenset({"request", "metadata"})
_REQUEST_FIELDS = frozenset({"model", "content", "taskType", "title", "outputDimensionality"})


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of one request, from the model table; `max_bytes` of its line."""

    spec: ModelSpec
    max_bytes: int

    @classmethod
    def of(cls, config: Config) -> RequestLimits:
        """Take the limits from a configuration."""
        return cls(config.model.spec(), int(config.batch.max_input_mb * 1e6))

    def mime_types(self) -> frozenset[str]:
        """List the media types that the model takes, by the table."""
        spec = self.spec
        listed = [m.mime_types for m in (spec.image, spec.audio, spec.video) if m is not None]
        return frozenset({*(t for types in listed for t in types), *([_PDF] if spec.pdf else [])})


def fault_of(part: Part, tokens: int, line: bytes, limits: RequestLimits) -> str:
    """Say what is wrong with a request; empty where nothing is found.

    Args:
        part: what is embedded.
        tokens: the plan's estimate for it, task words included; what was cut here is below the
            model's limit by construction.
        line: as it is sent, of a file or (with ``metadata``) of a create's body.
        limits: see `RequestLimits`.
    """
    if len(line) > limits.max_bytes:
        return f"its line has {len(line):,} bytes, a job takes {limits.max_bytes:,}"
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as err:
        return f"its line is not JSON ({err})"
    return _envelope_fault(document) or _content_fault(part, tokens, document["request"], limits)


def _envelope_fault(document: Any) -> str:
    if not isinstance(document, dict) or not isinstance(document.get("request"), dict):
        return "its line holds no request"
    inline = "metadata" in document
    if unknown := document.keys() - (_INLINE_FIELDS if inline else _LINE_FIELDS):
        return f"its line has the unknown fields {sorted(unknown)}"
    if unknown := document["request"].keys() - _REQUEST_FIELDS:
        return f"it has the unknown fields {sorted(unknown)}"
    metadata = document.get("metadata")
    key = metadata.get("key") if isinstance(metadata, dict) else document.get("key")
    if not isinstance(key, str) or parse_wire_key(key) is None:
        return f"its key {key!r} is none of ours"
    return ""


def _content_fault(
    part: Part, tokens: int, request: Mapping[str, Any], limits: RequestLimits
) -> str:
    spec, dimensions = limits.spec, request.get("outputDimensionality")
    if not isinstance(dimensions, int) or not (
        spec.min_dimensions <= dimensions <= spec.max_dimensions
    ):
        return (
            f"it asks for {dimensions} dimensions, {spec.name} gives {spec.min_dimensions} to "
            f"{spec.max_dimensions}"
        )
    content = request.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    wanted = contents_of(part)
    if not isinstance(parts, list) or len(parts) != len(wanted):
        wants = "one part" if len(wanted) == 1 else f"{len(wanted)} parts"
        return f"its content has not exactly {wants}"
    faults = (_part_fault(one, sent, limits) for one, sent in zip(wanted, parts, strict=True))
    if fault := next(filter(None, faults), ""):
        return fault
    most = spec.text.max_tokens
    # Media alone were cut below their own limits.
    counted = tokens > most and any(isinstance(one, TextPart) for one in wanted)
    return f"it counts {tokens:,} tokens, {spec.name} takes {most:,}" if counted else ""


def _part_fault(part: TextPart | MediaPart, sent: Any, limits: RequestLimits) -> str:
    if not isinstance(sent, dict):
        return "a part of it is none"
    if isinstance(part, MediaPart):
        return _media_fault(part, sent.get("inlineData"), limits)
    return "" if part.text.strip() and isinstance(sent.get("text"), str) else "its text is empty"


def _media_fault(part: MediaPart, sent: Any, limits: RequestLimits) -> str:
    if not isinstance(sent, dict) or not isinstance(sent.get("data"), str):
        return "its media are missing"
    taken = limits.mime_types()
    if sent.get("mimeType") not in taken:
        listed = ", ".join(sorted(taken)) or "no media at all"
        return f"its type is {sent.get('mimeType')!r}, {limits.spec.name} takes {listed}"
    try:
        data = base64.b64decode(sent["data"], validate=True)
    except binascii.Error as err:
        return f"its base64 is malformed ({err})"
    if not data:
        return "its media are empty"
    return "" if data == part.data else "its base64 holds other bytes than were rendered"
