"""Models with their limits, and the check of a request against them.

Limits and rules follow the vendor's model pages, confirmed unless a comment says otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from reembed_emulator.errors import RowError
from reembed_emulator.media import kind_of
from reembed_emulator.messages import EmbedRequest, Part

MIN_DIMENSIONS = 128
MAX_DIMENSIONS = 3072
METHODS = ("embedContent", "batchEmbedContents", "countTokens", "asyncBatchEmbedContent")
MEDIA_LIMITS = {"image": 6, "audio": 1, "video": 1, "pdf": 1}

_DESCRIPTION = (
    "Emulated on this machine. The vectors are lexical (hashed words, colours, spectra): similar "
    "inputs get similar vectors, but no model is used."
)

# Bytes and MIME type of a file named by a URI, read when the row is worked on.
Resolve = Callable[[str], tuple[bytes, str]]


@dataclass(frozen=True, slots=True)
class Model:
    """Embedding model.

    Attributes:
        name: Without the `models/` prefix.
        display_name: As `models.get` shows it.
        token_limit: Longer input is truncated without an error (reported by users).
        text_only: Whether media are refused.
        unit_length: Whether vectors below 3072 values are normalised.
        task_types: Whether `taskType` and `title` are accepted.
        seed: Of the projection: vectors of two models are not comparable.
    """

    name: str
    display_name: str
    token_limit: int
    text_only: bool
    unit_length: bool
    task_types: bool
    seed: int

    def message(self) -> dict[str, Any]:
        """Return the `Model` message."""
        return {
            "name": f"models/{self.name}",
            "version": self.name.rsplit("-", 1)[-1],
            "displayName": self.display_name,
            "description": _DESCRIPTION,
            "inputTokenLimit": self.token_limit,
            "outputTokenLimit": 1,
            "supportedGenerationMethods": list(METHODS),
        }


MODELS = {
    model.name: model
    for model in (
        Model("gemini-embedding-001", "Gemini Embedding 001", 2048, True, False, True, 1),
        Model("gemini-embedding-2", "Gemini Embedding 2", 8192, False, True, False, 2),
    )
}


@dataclass(frozen=True, slots=True)
class EmbedInput:
    """Text, media (bytes and MIME type) and dimensions of a request that passed the checks."""

    text: str
    media: tuple[tuple[bytes, str], ...]
    dimensions: int


def check_request(request: EmbedRequest, model: Model, resolve: Resolve) -> EmbedInput:
    """Check a request against the limits of its model, and gather its parts.

    Raises:
        RowError: Empty content, a bad dimension, a task type that the model lacks, media where
            only text is read, too many media, an unsupported type, a missing file (code 5).
    """
    _check_task(request, model)
    dimensions = request.output_dimensionality
    if dimensions is None:
        dimensions = MAX_DIMENSIONS
    if not MIN_DIMENSIONS <= dimensions <= MAX_DIMENSIONS:
        raise RowError(
            f"output_dimensionality {dimensions} is out of the supported range of "
            f"[{MIN_DIMENSIONS}, {MAX_DIMENSIONS}]."
        )
    parts = (request.content.parts or []) if request.content else []
    # All parts of one content give one fused vector; texts are joined here, media averaged later.
    texts = [part.text for part in parts if part.text is not None]
    media = tuple(_media(part, resolve) for part in parts if part.text is None)
    _check_media(media, model)
    text = "\n".join([request.title, *texts] if request.title else texts)
    if not media and not text.strip():
        raise RowError("The content is empty: no text and no media to embed.")
    return EmbedInput(text, media, dimensions)


def _check_task(request: EmbedRequest, model: Model) -> None:
    task = request.task_type or "TASK_TYPE_UNSPECIFIED"
    if not model.task_types:
        # Guides to the preview of gemini-embedding-2 still give a task type; by the model's page
        # the task belongs into the text. Refusing it shows the mistake.
        if task != "TASK_TYPE_UNSPECIFIED":
            raise RowError(f"task_type is not supported by models/{model.name}.")
        if request.title:
            raise RowError(f"title is not supported by models/{model.name}.")
    elif request.title and task != "RETRIEVAL_DOCUMENT":
        raise RowError("title is only applicable when the task_type is RETRIEVAL_DOCUMENT.")


def _check_media(media: tuple[tuple[bytes, str], ...], model: Model) -> None:
    if model.text_only and media:
        raise RowError(f"models/{model.name} embeds text only.")
    counts = Counter(kind_of(mime_type) for _, mime_type in media)
    for kind, limit in MEDIA_LIMITS.items():
        if counts[kind] > limit:
            raise RowError(f"The content has {counts[kind]} {kind} parts; the limit is {limit}.")


def _media(part: Part, resolve: Resolve) -> tuple[bytes, str]:
    """Return bytes and MIME type of a part, refusing unsupported types before other checks."""
    if part.inline_data is not None:
        data, mime_type = part.inline_data.data or b"", part.inline_data.mime_type or ""
    elif part.file_data is not None:
        data, stored_type = resolve(part.file_data.file_uri or "")
        mime_type = part.file_data.mime_type or stored_type
    else:
        raise RowError("The content has a part without data.")
    kind_of(mime_type)
    return data, mime_type
