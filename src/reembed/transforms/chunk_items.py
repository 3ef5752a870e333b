"""ChunkItems: from blocks of items to batches of chunks; media bytes stay where they are."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam

from reembed.core.chunking import chunk_item, chunk_text_item, rejected_item
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
    """Blocks of items in, (stripe, batch of chunks) out.

    Args:
        layout: names under the run directory, for extracted texts.
        plan: the plan's id.
        policy: how items are cut.
        options: what the requests' size on the wire depends on.
    """

    def __init__(
        self, layout: Layout, plan: str, policy: ChunkPolicy, options: RequestOptions
    ) -> None:
        super().__init__()
        self._layout, self._plan = layout, plan
        self._policy, self._options = policy, options

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[tuple[int, ChunkBatch]]:
        """Cut every block."""
        chunk = _Chunk(self._layout, self._plan, self._policy, self._options)
        return blocks | "Chunk" >> beam.ParDo(chunk)


class _Chunk(beam.DoFn):
    def __init__(
        self, layout: Layout, plan: str, policy: ChunkPolicy, options: RequestOptions
    ) -> None:
        self._layout, self._plan = layout, plan
        self._policy, self._options = policy, options
        self._storage = open_storage()

    def setup(self) -> None:
        self._note = PlanProgress(self._storage, self._layout, self._plan)

    def teardown(self) -> None:
        self._note.tell(last=True)

    def process(self, element: Block) -> Iterator[tuple[int, ChunkBatch]]:
        chunked = [read_and_chunk(self._storage, item, self._policy) for item in element.items]
        for one in chunked:
            self._keep_extracted(one)
        chunks = [chunk for one in chunked for chunk in one.chunks]
        table = manifest_of(chunks, self._options)
        self._note.add(len(element.items), len(chunks))
        yield element.stripe, ChunkBatch(len(element.items), to_bytes(table))

    def _keep_extracted(self, chunked: ChunkedItem) -> None:
        if chunked.extracted is None:
            return
        uri = self._layout.extracted(chunked.chunks[0].source_hash)
        try:
            self._storage.create(uri, chunked.extracted.encode())
        except AlreadyExistsError:
            return  # the same bytes give the same text
