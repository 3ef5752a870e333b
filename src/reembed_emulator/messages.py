"""Request messages of the service, read as strictly as protocol buffers in JSON are.

By the JSON mapping of protocol buffers, both spellings of a field name are read (`displayName`,
`display_name`), int64 may be a string, null means absent; the service also refuses unknown fields.
pydantic checks the types; its errors are reworded here to the service's, which name the field in
snake_case.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    Strict,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import ErrorDetails, PydanticCustomError

from reembed_emulator.errors import invalid

AnyMessage = TypeVar("AnyMessage", bound="ProtoMessage")


class PayloadError(Exception):
    """Payload field that is unknown, of a wrong type or set twice."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def parse(message: type[AnyMessage], value: Any) -> AnyMessage:
    """Return loaded JSON as a message.

    Raises:
        PayloadError: An unknown field, a wrong type, a field or a one-of that is set twice.
    """
    try:
        return message.model_validate(value)
    except ValidationError as err:
        raise PayloadError(_describe(err.errors(include_url=False)[0], value)) from err


def read_message(body: bytes, message: type[AnyMessage]) -> AnyMessage:
    """Return a request body as a message; raise ApiError 400 that names the field at fault."""
    try:
        loaded = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise invalid(f"Invalid JSON payload received. {err}") from err
    try:
        return parse(message, loaded)
    except PayloadError as err:
        raise invalid(err.message) from err


# Scalars. Of an error raised here, the type is the name of the protocol-buffer type.


def _integer(bits: int) -> Callable[[Any], int]:
    """Return a reader of an integer in its three JSON forms: 768, "768" and 768.0."""
    bound = 1 << (bits - 1)

    def read(value: Any) -> int:
        number = value
        whole_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value)
        if whole_text or (isinstance(value, float) and value.is_integer()):
            number = int(value)
        # In Python true is an integer; in protocol buffers it is not.
        if isinstance(number, bool) or not isinstance(number, int):
            raise PydanticCustomError(f"TYPE_INT{bits}", "not an integer")
        if not -bound <= number < bound:
            raise PydanticCustomError(f"TYPE_INT{bits}", "out of range")
        return number

    return read


def _decode_base64(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("TYPE_BYTES", "not a string")
    # Both alphabets are read, with padding and without, as protocol buffers do.
    text = value.replace("-", "+").replace("_", "/") if "-" in value or "_" in value else value
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as err:
        raise PydanticCustomError("base64", "not base64") from err


def _encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


String = Annotated[str, Strict()]
Boolean = Annotated[bool, Strict()]
Int32 = Annotated[int, BeforeValidator(_integer(32))]
Int64 = Annotated[int, BeforeValidator(_integer(64))]
Bytes = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    PlainSerializer(_encode_base64, return_type=str, when_used="json"),
]
Struct = dict[str, Any]
TaskType = Literal[
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
]


class ProtoMessage(BaseModel):
    """Base of all messages; an absent field is None."""

    model_config = ConfigDict(
        # Confirmed for input lines: an unknown field is an error, it is not ignored.
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        loc_by_alias=False,
    )

    def _check_oneof(self, group: str, *members: str) -> None:
        given = [name for name in members if getattr(self, name) is not None]
        if len(given) > 1:
            fields = {"group": group, "second": to_camel(given[1])}
            text = "oneof field '{group}' is already set. Cannot set '{second}'"
            raise PydanticCustomError("oneof", text, fields)


class Blob(ProtoMessage):
    """Bytes of a media part."""

    mime_type: String | None = None
    data: Bytes | None = None


class FileData(ProtoMessage):
    """Media part that names an uploaded file."""

    mime_type: String | None = None
    file_uri: String | None = None


class Part(ProtoMessage):
    """Part of a content: text, bytes or a file."""

    text: String | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None

    @model_validator(mode="after")
    def _check(self) -> Part:
        self._check_oneof("data", "text", "inline_data", "file_data")
        return self


class Content(ProtoMessage):
    """Parts that are embedded together into one vector."""

    parts: list[Part] | None = None
    role: String | None = None


class EmbedConfig(ProtoMessage):
    """Options in a nested form, which are read and have no effect.

    Reported from a live measurement: `outputDimensionality` given here was ignored.
    """

    task_type: TaskType | None = None
    title: String | None = None
    output_dimensionality: Int32 | None = None
    auto_truncate: Boolean | None = None


class EmbedRequest(ProtoMessage):
    """Request for one vector."""

    model: String | None = None
    content: Content | None = None
    task_type: TaskType | None = None
    title: String | None = None
    output_dimensionality: Int32 | None = None
    embed_content_config: EmbedConfig | None = None


class InputLine(ProtoMessage):
    """Line of an input file."""

    # Optional, but answers come in any order, so a client without keys cannot join them.
    key: String | None = None
    request: EmbedRequest | None = None


class InlinedRequest(ProtoMessage):
    """Request of an inline job."""

    request: EmbedRequest | None = None
    metadata: Struct | None = None


class InlinedRequests(ProtoMessage):
    """Requests of an inline job."""

    requests: list[InlinedRequest] | None = None


class InputConfig(ProtoMessage):
    """Input of a job: inline requests or an uploaded file."""

    requests: InlinedRequests | None = None
    file_name: String | None = None

    @model_validator(mode="after")
    def _check(self) -> InputConfig:
        self._check_oneof("source", "requests", "file_name")
        return self


class Batch(ProtoMessage):
    """Batch job as a client describes it; the fields after `priority` are ignored output fields."""

    model: String | None = None
    name: String | None = None
    # The only handle by which a lost job can be found again: there is no client token (confirmed).
    display_name: String | None = None
    input_config: InputConfig | None = None
    priority: Int64 | None = None
    output: Struct | None = None
    create_time: String | None = None
    end_time: String | None = None
    update_time: String | None = None
    batch_stats: Struct | None = None
    state: String | None = None


class CreateBatch(ProtoMessage):
    """Body of `asyncBatchEmbedContent`."""

    batch: Batch | None = None


class File(ProtoMessage):
    """File as a client describes it; the fields after `mime_type` are ignored output fields."""

    name: String | None = None
    display_name: String | None = None
    mime_type: String | None = None
    size_bytes: Int64 | None = None
    create_time: String | None = None
    update_time: String | None = None
    expiration_time: String | None = None
    sha256_hash: String | None = None
    uri: String | None = None
    download_uri: String | None = None
    state: String | None = None
    source: String | None = None
    error: Struct | None = None
    video_metadata: Struct | None = None


class CreateFile(ProtoMessage):
    """Body that starts an upload."""

    file: File | None = None


class BatchEmbed(ProtoMessage):
    """Body of `batchEmbedContents`."""

    requests: list[EmbedRequest] | None = None


class CountTokens(ProtoMessage):
    """Body of `countTokens`."""

    contents: list[Content] | None = None


_PROTO_TYPES = {
    "string_type": "TYPE_STRING",
    "bool_type": "TYPE_BOOL",
    "literal_error": "TYPE_ENUM",
    "dict_type": "google.protobuf.Struct",
}


def _describe(error: ErrorDetails, payload: Any) -> str:
    """Reword an error of pydantic as the service writes it."""
    kind, value, loc = error["type"], error["input"], error["loc"]
    path = _path(loc)
    where = f"Invalid value at '{path}'" if path else "Invalid JSON payload received."
    if kind == "extra_forbidden":
        outer = f" at '{_path(loc[:-1])}'" if loc[:-1] else ""
        reason = "The field is already set." if _set_twice(payload, loc) else "Cannot find field."
        return f'Invalid JSON payload received. Unknown name "{loc[-1]}"{outer}: {reason}'
    if kind == "model_type":
        return f"{where} Starting an object on a scalar field, or not an object"
    if kind == "list_type":
        return f"{where} Proto field is repeating, a list is needed"
    if kind == "oneof":
        return f"{where} {error['msg']}"
    if kind == "base64":
        return f'{where} (TYPE_BYTES), Base64 decoding failed for "{value[:20]}"'
    return f"{where} ({_PROTO_TYPES.get(kind, kind)}), {repr(value)[:60]}"


def _path(loc: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc)
    return "".join(steps).removeprefix(".")


def _set_twice(payload: Any, loc: tuple[int | str, ...]) -> bool:
    # pydantic reports the second spelling of a field like an unknown field: look which one it is.
    for step in loc[:-1]:
        if isinstance(payload, Mapping):
            payload = payload.get(to_camel(str(step))) or payload.get(step)
        else:
            payload = payload[step]
    name = to_snake(str(loc[-1]))
    return len({name, to_camel(name)} & payload.keys()) > 1
