"""ChunkItems: from blocks of items to batches of chunks; media bytes stay where they are."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

import apache_beam as beam
import pyarrow as pa

from reembed.beam.blocks import ChunkBatch, to_bytes
from reembed.beam.metrics import PLAN, count
from reembed.config.source import SourceConfig
from reembed.core.chunk import chunk_item, chunk_text_item, rejected_item
from reembed.core.existing import ExistingRows, skip_existing
from reembed.core.keys import KEYS
from reembed.core.manifest import manifest_of
from reembed.core.mixed import OpenPart, chunk_parts
from reembed.core.wire import WireFormat
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, RejectError, StorageError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.layout import Layout
from reembed.ledger.notes import PlanProgress
from reembed.sources.base import Block
from reembed.sources.uris import decode_data, is_data
from reembed.storage.base import Storage
from reembed.storage.content import ContentReader, name_of
from reembed.storage.open import open_storage
from reembed.types import Chunk, ChunkedItem, Item, ItemPart


def read_and_chunk(content: ContentReader, item: Item, policy: ChunkPolicy) -> ChunkedItem:
    """Open an item in the generation that was listed and cut it; what cannot be is a reject.

    Where none was listed, the chunks say in which generation it was found.
    """
    if item.reject is not None:
        return rejected_item(item, item.reject.code, item.reject.message, item.reject.stage)
    if item.text is not None:
        return chunk_text_item(item, item.text, policy)
    inline = bool(item.parts) or item.data is not None
    try:
        return (
            _read_inline(content, item, policy) if inline else _read_object(content, item, policy)
        )
    except RejectError as err:
        return rejected_item(item, err.code, err.message, "read")
    except ObjectNotFoundError as err:
        if item.generation and not inline:
            message = f"{item.uri} vanished or changed after it was listed; run again to take it"
            return rejected_item(item, "source_changed", message, "read")
        message = f"what the source names is not there ({err}); mend its place, or put it there"
        return rejected_item(item, "source_missing", message, "read")
    except (StorageError, OSError) as err:
        message = f"{item.uri} cannot be read: {err}"
        return rejected_item(item, "source_unreadable", message, "read")


def _read_object(content: ContentReader, item: Item, policy: ChunkPolicy) -> ChunkedItem:
    with content.open(item.uri, item.generation) as opened:
        found = replace(item, generation=opened.generation)
        return chunk_item(found, opened.stream, policy, name_of(item.uri))


def _read_inline(content: ContentReader, item: Item, policy: ChunkPolicy) -> ChunkedItem:
    """Cut what stands in the source itself: parts, or the content of a ``data:`` URI."""
    if item.parts:
        return chunk_parts(item, _opened(content, item.parts), policy)
    data = decode_data(item.data or "")
    chunked = chunk_item(item, io.BytesIO(data), policy, "")
    if all(chunk.recipe is None for chunk in chunked.chunks):
        return chunked
    uri = content.keep(data)
    return replace(chunked, chunks=tuple(_found_at(chunk, uri) for chunk in chunked.chunks))


def _found_at(chunk: Chunk, uri: str) -> Chunk:
    return chunk if chunk.recipe is None else replace(chunk, recipe=replace(chunk.recipe, uri=uri))


def _opened(content: ContentReader, parts: Iterable[ItemPart]) -> Iterator[OpenPart]:
    """Open one part after the other; each is closed before the next."""
    for number, part in enumerate(parts, 1):
        if not part.uri:
            yield OpenPart(text=part.text)
            continue
        try:
            if is_data(part.uri):
                data = decode_data(part.uri)
                yield OpenPart(source=io.BytesIO(data), uri=content.keep(data))
                continue
            with content.open(part.uri) as opened:
                yield OpenPart(None, opened.stream, name_of(part.uri), part.uri, opened.generation)
        except RejectError as err:
            raise RejectError(err.code, f"part {number}: {err.message}") from err


class ChunkItems(beam.PTransform):
    """Blocks of items in; (partition, batch of chunks) out, without what the destination has.

    Args:
        layout: names under the run directory, for extracted texts.
        plan: the plan's id.
        policy: how items are cut.
        wire: format of the requests, for their size.
        existing: URI of the index of the rows that the destination has; empty for none.
        source: says which pages of the web may be read; None: none.
    """

    def __init__(
        self,
        layout: Layout,
        plan: str,
        policy: ChunkPolicy,
        wire: WireFormat,
        existing: str = "",
        source: SourceConfig | None = None,
    ) -> None:
        super().__init__()
        content = ContentReader(open_storage(), inline_media=layout.inline_media())
        if source is not None:
            content = ContentReader.of(source, content.storage, content.inline_media)
        self._chunk = _Chunk(layout, plan, policy, wire, existing, content)

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[tuple[int, ChunkBatch]]:
        """Cut every block."""
        return blocks | "Chunk" >> beam.ParDo(self._chunk)


class _Chunk(beam.DoFn):
    def __init__(
        self,
        layout: Layout,
        plan: str,
        policy: ChunkPolicy,
        wire: WireFormat,
        existing: str,
        content: ContentReader,
    ) -> None:
        self._layout, self._plan = layout, plan
        self._policy, self._wire = policy, wire
        self._existing_uri = existing
        self._content = content
        self._storage = content.storage

    def setup(self) -> None:
        self._note = PlanProgress(self._storage, self._layout, self._plan)
        self._existing = (
            read_existing(self._storage, self._existing_uri) if self._existing_uri else None
        )

    def teardown(self) -> None:
        self._note.tell(last=True)

    def process(self, element: Block) -> Iterator[tuple[int, ChunkBatch]]:
        chunked = [read_and_chunk(self._content, item, self._policy) for item in element.items]
        for one in chunked:
            self._keep_extracted(one)
        chunks = [chunk for one in chunked for chunk in one.chunks]
        table, skipped = manifest_of(chunks, self._wire), 0
        if self._existing is not None:
            table, skipped = skip_existing(table, self._existing)
        self._note.add(len(element.items), len(chunks))
        count(PLAN, _counts_of(element, len(chunks), skipped))
        keys = _keys_of(element) if element.ranked else b""
        yield element.partition, ChunkBatch(len(element.items), to_bytes(table), skipped, keys)

    def _keep_extracted(self, chunked: ChunkedItem) -> None:
        if chunked.extracted is None:
            return
        first = chunked.chunks[0]
        uri = self._layout.extracted(first.source_hash, first.chunker)
        try:
            self._storage.create(uri, chunked.extracted.encode())
        except AlreadyExistsError:
            return  # the same bytes give the same text


def _counts_of(block: Block, chunks: int, skipped: int) -> dict[str, int]:
    size = sum(item.size for item in block.items)
    return {"items": len(block.items), "chunks": chunks, "skipped": skipped, "source_bytes": size}


def _keys_of(block: Block) -> bytes:
    return to_bytes(pa.table([[item.key for item in block.items]], schema=KEYS))


_SHARED: dict[str, ExistingRows] = {}
_LOADING = threading.Lock()


def read_existing(storage: Storage, uri: str) -> ExistingRows:
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
            _SHARED[uri] = ExistingRows.of(table)
        return _SHARED[uri]
