"""The messages that the service reads, field by field."""

from __future__ import annotations

from reembed_emulator.protojson import Field, Message

TASK_TYPES = frozenset(
    {
        "TASK_TYPE_UNSPECIFIED",
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    }
)

_STRING = Field("string")
_STRUCT = Field("struct")
_TASK = Field("enum", values=TASK_TYPES)

BLOB = Message({"mime_type": _STRING, "data": Field("bytes")})
FILE_DATA = Message({"mime_type": _STRING, "file_uri": _STRING})
PART = Message(
    {
        "text": _STRING,
        "inline_data": Field("message", BLOB),
        "file_data": Field("message", FILE_DATA),
    },
    oneofs={"data": ("text", "inline_data", "file_data")},
)
CONTENT = Message({"parts": Field("message", PART, repeated=True), "role": _STRING})

# Known to the schema, and without effect when given here instead of at the top of the request.
EMBED_CONFIG = Message(
    {
        "task_type": _TASK,
        "title": _STRING,
        "output_dimensionality": Field("int32"),
        "auto_truncate": Field("bool"),
    }
)
EMBED_REQUEST = Message(
    {
        "model": _STRING,
        "content": Field("message", CONTENT),
        "task_type": _TASK,
        "title": _STRING,
        "output_dimensionality": Field("int32"),
        "embed_content_config": Field("message", EMBED_CONFIG),
    }
)

LINE = Message({"key": _STRING, "request": Field("message", EMBED_REQUEST)})

INLINED_REQUEST = Message({"request": Field("message", EMBED_REQUEST), "metadata": _STRUCT})
_INLINED_REQUESTS = Message({"requests": Field("message", INLINED_REQUEST, repeated=True)})
_INPUT_CONFIG = Message(
    {"requests": Field("message", _INLINED_REQUESTS), "file_name": _STRING},
    oneofs={"source": ("requests", "file_name")},
)
BATCH = Message(
    {
        "model": _STRING,
        "name": _STRING,
        "display_name": _STRING,
        "input_config": Field("message", _INPUT_CONFIG),
        "priority": Field("int64"),
        # Output only: read, and ignored.
        "output": _STRUCT,
        "create_time": _STRING,
        "end_time": _STRING,
        "update_time": _STRING,
        "batch_stats": _STRUCT,
        "state": _STRING,
    }
)
CREATE_BATCH = Message({"batch": Field("message", BATCH)})

_FILE = Message(
    {
        "name": _STRING,
        "display_name": _STRING,
        "mime_type": _STRING,
        # Output only: read, and ignored.
        "size_bytes": Field("int64"),
        "create_time": _STRING,
        "update_time": _STRING,
        "expiration_time": _STRING,
        "sha256_hash": _STRING,
        "uri": _STRING,
        "download_uri": _STRING,
        "state": _STRING,
        "source": _STRING,
        "error": _STRUCT,
        "video_metadata": _STRUCT,
    }
)
CREATE_FILE = Message({"file": Field("message", _FILE)})

BATCH_EMBED = Message({"requests": Field("message", EMBED_REQUEST, repeated=True)})
COUNT_TOKENS = Message({"contents": Field("message", CONTENT, repeated=True)})
