"""Chunking parameters taken from a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.config.models import ModelSpec
from reembed.config.schema import ChunkingConfig, Config
from reembed.errors import UsageError
from reembed.formats.table import GROUP, Table, load_table
from reembed.registry import load_extensions, names_added


@dataclass(frozen=True, slots=True)
class ChunkPolicy:
    """Settings by which items are cut: the configured sizes under the model's limits.

    `max_media_bytes` is the most that one piece of media may weigh before base64; `extensions` are
    the configuration's modules, and `added` the formats from other packages that were known where
    the policy was made.
    """

    chunking: ChunkingConfig
    spec: ModelSpec
    dimensions: int
    task: str
    max_media_bytes: int
    extensions: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config) -> ChunkPolicy:
        """Take the policy from a configuration."""
        # Base64 makes 4 bytes of 3; a tenth is left for the rest of the request's JSON.
        max_media = int(config.batch.max_input_mb * 1e6 * 0.9 * 3 / 4)
        load_extensions(config.extensions)
        return cls(
            chunking=config.chunking,
            spec=config.model.spec(),
            dimensions=config.model.dimensions,
            task=config.model.task,
            max_media_bytes=max_media,
            extensions=config.extensions,
            added=names_added(GROUP),
        )

    def table(self) -> Table:
        """Give the formats that are known: the built-in ones and those of other packages.

        Raises:
            UsageError: this process knows other formats than the one that made the policy. A worker
                without a format would take its files for plain text, and pay for that.
        """
        load_extensions(self.extensions)
        here = names_added(GROUP)
        if here != self.added:
            raise UsageError(
                f"formats from other packages are {list(here)} in this process and were "
                f"{list(self.added)} where the run was started; name their modules under "
                "`extensions` and install them where workers run"
            )
        return load_table()
