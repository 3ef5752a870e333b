"""Chunking parameters taken from a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.config.models import ModelSpec
from reembed.config.schema import ChunkingConfig, Config
from reembed.formats.table import Table, load_table


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

    def table(self) -> Table:
        """Give the formats that are known: the built-in ones and those of `chunking.formats`.

        Looked up in the process that asks: a policy travels to workers by its configuration.
        """
        return load_table(self.chunking.formats)
