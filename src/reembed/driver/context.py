"""Context of a run in one process: its seams, names and constants."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from reembed.config.schema import Config
from reembed.core.pack import Packing
from reembed.core.wire import WireFormat
from reembed.driver.clock import Clock
from reembed.driver.events import LaneObserver, NullObserver
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir
from reembed.machine.rules import Rules
from reembed.providers.base import BatchService
from reembed.providers.open import find_provider, packing_of
from reembed.storage.base import Storage
from reembed.storage.content import ContentReader


@dataclass(frozen=True, slots=True)
class Context:
    """Seams of one run in one process, and its constants.

    `scratch` is an existing local folder for request files, answers in question and parts on their
    way; nothing in it is needed after the process. `generation` is the run's, as this process
    found it at its start. `watch` observes lanes.
    """

    config: Config
    commit: int
    plan: str
    rules: Rules
    run_dir: RunDir
    service: BatchService
    ledger: Ledger
    spend: ReservationLog
    clock: Clock
    scratch: Path
    generation: int = 0
    watch: LaneObserver = field(default_factory=NullObserver)

    def manifest(self, shard: str) -> pa.Table:
        """Return the chunks of a shard, schema `core.schema.MANIFEST`, in input order."""
        return self.run_dir.manifest(self.plan, shard)

    @property
    def layout(self) -> Layout:
        """Names under the run directory."""
        return self.run_dir.layout

    @property
    def storage(self) -> Storage:
        """Storage of the run directory."""
        return self.run_dir.storage

    @property
    def content(self) -> ContentReader:
        """Where contents are read again."""
        return ContentReader.of(self.config.source, self.storage, self.layout.inline_media())

    @property
    def policy(self) -> ChunkPolicy:
        """Chunking parameters of the media, to render them alike."""
        return ChunkPolicy.of(self.config)

    @property
    def wire(self) -> WireFormat:
        """Wire format of the configured service."""
        return find_provider(self.config.service).wire(self.config)

    @property
    def packing(self) -> Packing:
        """Packing that made the shards, to weigh requests alike."""
        return packing_of(self.config)
