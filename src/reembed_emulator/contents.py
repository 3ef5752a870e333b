"""Check one embedding request as the service does for a row, and gather what it embeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reembed_emulator.errors import RowError
from reembed_emulator.media import kind_of
from reembed_emulator.models import MAX_DIMENSIONS, MIN_DIMENSIONS, Model

# A file part is resolved to its bytes and MIME type when the row is worked on.
Resolve = Callable[[str], tuple[bytes, str]]

MEDIA_LIMITS = {"image": 6, "audio": 1, "video": 1, "pdf": 1}


@dataclass(frozen=True, slots=True)
class Gathered:
    """Hold a request that passed the checks: its text, its media, its dimensions."""

    text: str
    media: tuple[tuple[bytes, str], ...]
    dimensions: int


def gather(request: Mapping[str, Any], model: Model, resolve: Resolve) -> Gathered:
    """Check a parsed `EmbedContentRequest` and gather its parts.

    Raises:
        RowError: Empty content, a bad dimension, a task type that the model lacks, media where
            only text is read, too many media, an unsupported type, a file that is gone (code 5).
    """
    _check_task(request, model)
    dimensions = request.get("output_dimensionality", MAX_DIMENSIONS)
    if not MIN_DIMENSIONS <= dimensions <= MAX_DIMENSIONS:
        raise RowError(
            f"output_dimensionality {dimensions} is out of the supported range of "
            f"[{MIN_DIMENSIONS}, {MAX_DIMENSIONS}]."
        )
    parts = request.get("content", {}).get("parts", [])
    texts = [part["text"] for part in parts if "text" in part]
    media = tuple(_media(part, resolve) for part in parts if "text" not in part)
    if model.text_only and media:
        raise RowError(f"models/{model.name} embeds text only.")
    counts = Counter(kind_of(mime_type) for _, mime_type in media)
    for kind, limit in MEDIA_LIMITS.items():
        if counts[kind] > limit:
            raise RowError(f"The content has {counts[kind]} {kind} parts; the limit is {limit}.")
    title = request.get("title", "")
    text = "\n".join([title, *texts] if title else texts)
    if not media and not text.strip():
        raise RowError("The content is empty: no text and no media to embed.")
    return Gathered(text, media, dimensions)


def _check_task(request: Mapping[str, Any], model: Model) -> None:
    task = request.get("task_type", "TASK_TYPE_UNSPECIFIED")
    if not model.task_types:
        if task != "TASK_TYPE_UNSPECIFIED":
            raise RowError(f"task_type is not supported by models/{model.name}.")
        if request.get("title"):
            raise RowError(f"title is not supported by models/{model.name}.")
    elif request.get("title") and task != "RETRIEVAL_DOCUMENT":
        raise RowError("title is only applicable when the task_type is RETRIEVAL_DOCUMENT.")


def _media(part: Mapping[str, Any], resolve: Resolve) -> tuple[bytes, str]:
    if "inline_data" in part:
        blob = part["inline_data"]
        mime_type = blob.get("mime_type", "")
        kind_of(mime_type)
        return blob.get("data", b""), mime_type
    if "file_data" not in part:
        raise RowError("The content has a part without data.")
    data, stored_type = resolve(part["file_data"].get("file_uri", ""))
    mime_type = part["file_data"].get("mime_type") or stored_type
    kind_of(mime_type)
    return data, mime_type
