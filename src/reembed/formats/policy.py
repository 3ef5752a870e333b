"""Chunking parameters taken from a configuration, and the version of each chunker."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.config.models import ModelSpec
from reembed.config.schema import ChunkingConfig, Config

# Raised whenever a chunker would cut or convert the same bytes in another way.
CHUNKER_VERSIONS = {
    "text": "text/1",
    "image": "image/1",
    "audio": "audio/1",
    "video": "video/1",
    "pdf": "pdf/1",
    "mixed": "mixed/1",
    "unknown": "none/1",
}


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """How items are cut: the configured sizes under the model's limits.

    `max_media_bytes` is the most that one piece of media may weigh before base64.
    """

    chunking: ChunkingConfig
    spec: ModelSpec
    dimensions: int
    task: str
    max_media_bytes: int

    @classmethod
    def of(cls, config: Config) -> ChunkPolicy:
        """The policy of a configuration."""
        # Base64 makes 4 bytes of 3; a tenth is left for the rest of the request's JSON.
        max_media = int(config.batch.max_input_mb * 1e6 * 0.9 * 3 / 4)
        return cls(
            chunking=config.chunking,
            spec=config.model.spec(),
            dimensions=config.model.dimensions,
            task=config.model.task,
            max_media_bytes=max_media,
        )
