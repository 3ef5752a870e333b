"""ChunkItems: from blocks of items to batches of chunks; media bytes stay where they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa

from reembed.core.chunking import chunk_item, chunk_text_item, rejected_item
from reembed.core.held import Held, skip_held
from reembed.core.keys import KEYS
from reembed.core.manifest import manifest_of
from reembed.core.policy import ChunkPolicy
from reembed.core.requests import RequestOptions
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.ledger.layout import Layout
from reembed.ledger.notes import PlanProgress
from reembed.sources.base import Block
from reembed.storage.base import Storage
from reembed.storage.open import open_storage
from reembed.transforms.blocks import ChunkBatch, to_bytes
from reembed.types import ChunkedItem, Item


def read_and_chunk(storage: Storage, item: Item, policy: ChunkPolicy) -> ChunkedItem:
    """Open an item in the generation that was listed and cut it; what cannot be is a reject."""
    if item.reject is not None:
        return rejected_item(item, item.reject.code, item.reject.message, item.reject.stage)
    if item.text is not None:
        return chunk_text_item(item, item.text, policy)
    try:
        with storage.open(item.uri, item.generation) as source:
            return chunk_item(item, source, policy)
    except ObjectNotFoundError:
        message = f"{item.uri} vanished or changed after it was listed; run again to take it"
        return rejected_item(item, "source_changed", message, "read")
    except (StorageError, OSError) as err:
        message = f"{item.uri} cannot be read: {err}"
        return rejected_item(item, "source_unreadable", message, "read")


class ChunkItems(beam.PTransform):
    """Blocks of items in; (stripe, batch of chunks) out, without chunks that are held.

    Args:
        layout: names under the run directory, for extracted texts.
        plan: the plan's id.
        policy: how items are cut.
        options: what the requests' size on the wire depends on.
        held: the place of the index of what the destination holds; empty for none.
    """

    def __init__(
        self,
        layout: Layout,
        plan: str,
        policy: ChunkPolicy,
        options: RequestOptions,
        held: str = "",
    ) -> None:
        super().__init__()
        self._chunk = _Chunk(layout, plan, policy, options, held)

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[tuple[int, ChunkBatch]]:
        """Cut every block."""
        return blocks | "Chunk" >> beam.ParDo(self._chunk)


class _Chunk(beam.DoFn):
    def __init__(
        self, layout: Layout, plan: str, policy: ChunkPolicy, options: RequestOptions, held: str
    ) -> None:
        self._layout, self._plan = layout, plan
        self._policy, self._options = policy, options
        self._held_at = held
        self._storage = open_storage()

    def setup(self) -> None:
        self._note = PlanProgress(self._storage, self._layout, self._plan)
        self._held = read_held(self._storage, self._held_at) if self._held_at else None

    def teardown(self) -> None:
        self._note.tell(last=True)

    def process(self, element: Block) -> Iterator[tuple[int, ChunkBatch]]:
        chunked = [read_and_chunk(self._storage, item, self._policy) for item in element.items]
        for one in chunked:
            self._keep_extracted(one)
        chunks = [chunk for one in chunked for chunk in one.chunks]
        table, skipped = manifest_of(chunks, self._options), 0
        if self._held is not None:
            table, skipped = skip_held(table, self._held)
        self._note.add(len(element.items), len(chunks))
        keys = _keys_of(element) if element.ranked else b""
        yield element.stripe, ChunkBatch(len(element.items), to_bytes(table), skipped, keys)

    def _keep_extracted(self, chunked: ChunkedItem) -> None:
        if chunked.extracted is None:
            return
        uri = self._layout.extracted(chunked.chunks[0].source_hash)
        try:
            self._storage.create(uri, chunked.extracted.encode())
        except AlreadyExistsError:
            return  # the same bytes give the same text


def _keys_of(block: Block) -> bytes:
    return to_bytes(pa.table([[item.key for item in block.items]], schema=KEYS))


_SHARED: dict[str, Held] = {}
_LOADING = threading.Lock()


def read_held(storage: Storage, uri: str) -> Held:
    """The index at a place, read once a process: threads share it, and on disk, processes too."""
    with _LOADING:
        if uri not in _SHARED:
            _SHARED.clear()  # of an earlier plan
            with storage.open(uri) as stream:
                name = getattr(stream, "name", None)
                if isinstance(name, str) and os.path.isabs(name):
                    table = pa.ipc.open_file(pa.memory_map(name)).read_all()
                else:
                    table = pa.ipc.open_file(stream.read()).read_all()
            _SHARED[uri] = Held.of(table)
        return _SHARED[uri]
