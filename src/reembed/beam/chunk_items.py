"""Cut blocks of items into batches of chunks.

Media bytes never travel: a chunk of media is a recipe, from which its bytes are made again when its
shard is submitted. A shuffle of videos would cost more than embedding them.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import pyarrow as pa
from apache_beam.typehints import with_input_types, with_output_types

from reembed.beam.blocks import ChunkBatch, to_bytes
from reembed.beam.metrics import PLAN, count
from reembed.config.schema import Config
from reembed.core.chunk import chunk_item, chunk_text_item, rejected_item
from reembed.core.existing import ExistingRows, skip_existing
from reembed.core.keys import KEYS
from reembed.core.manifest import manifest_of
from reembed.core.mixed import OpenPart, chunk_parts
from reembed.core.wire import WireFormat
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, RejectError, StorageError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.notes import PlanProgress
from reembed.ledger.run_dir import RunDir
from reembed.providers.open import find_provider
from reembed.sources.base import Block
from reembed.sources.uris import decode_data, is_data
from reembed.storage.base import Storage
from reembed.storage.content import ContentReader, name_of
from reembed.types import Chunk, ChunkedItem, Item, ItemPart


def read_and_chunk(content: ContentReader, item: Item, policy: ChunkPolicy) -> ChunkedItem:
    """Open an item in the generation that was listed and cut it; a reject if that cannot be done.

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
    """Cut content that the source itself holds: parts, or a ``data:`` URI."""
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


@dataclass(frozen=True, slots=True)
class Chunking:
    """Everything that decides how blocks are cut.

    `policy` says how items are cut, `wire` how large their requests are.
    """

    run_dir: RunDir
    policy: ChunkPolicy
    wire: WireFormat
    content: ContentReader

    @classmethod
    def of(cls, config: Config, run_dir: RunDir) -> Chunking:
        """Take it from a configuration."""
        content = ContentReader.of(config.source, run_dir.storage, run_dir.layout.inline_media())
        return cls(
            run_dir, ChunkPolicy.of(config), find_provider(config.service).wire(config), content
        )


def chunk_block(
    chunking: Chunking, block: Block, existing: ExistingRows | None = None
) -> ChunkBatch:
    """Read and cut the items of a block; leave out the chunks that the destination has.

    Extracted texts are kept in the run directory, since the offsets of rows point into them.
    """
    chunked = [read_and_chunk(chunking.content, item, chunking.policy) for item in block.items]
    for one in chunked:
        _keep_extracted(chunking.run_dir, one)
    chunks = [chunk for one in chunked for chunk in one.chunks]
    table, skipped = manifest_of(chunks, chunking.wire), 0
    if existing is not None:
        table, skipped = skip_existing(table, existing)
    count(PLAN, _counts_of(block, len(chunks), skipped))
    keys = _keys_of(block) if block.ranked else b""
    return ChunkBatch(len(block.items), to_bytes(table), skipped, keys, len(chunks))


def _keep_extracted(run_dir: RunDir, chunked: ChunkedItem) -> None:
    if chunked.extracted is None:
        return
    first = chunked.chunks[0]
    uri = run_dir.layout.extracted(first.source_hash, first.chunker)
    try:
        run_dir.storage.create(uri, chunked.extracted.encode())
    except AlreadyExistsError:
        return  # the same bytes give the same text


@with_input_types(Block)
@with_output_types(tuple[int, ChunkBatch])
class ChunkItems(beam.PTransform):
    """Cut blocks of items into batches of chunks.

    Input: `Block`. Output: ``(partition, ChunkBatch)``, without what the destination has.

    Args:
        chunking: how items are cut.
        plan: the plan's id, for progress notes.
        existing: URI of the index of the rows that the destination has; empty for none.
    """

    def __init__(self, chunking: Chunking, plan: str, existing: str = "") -> None:
        super().__init__()
        self._chunk = _Chunk(chunking, plan, existing)

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[tuple[int, ChunkBatch]]:
        """Cut every block."""
        return blocks | "Chunk" >> beam.ParDo(self._chunk)


@with_input_types(Block)
@with_output_types(tuple[int, ChunkBatch])
class _Chunk(beam.DoFn):
    def __init__(self, chunking: Chunking, plan: str, existing: str) -> None:
        self._chunking, self._plan, self._existing_uri = chunking, plan, existing

    def setup(self) -> None:
        run_dir = self._chunking.run_dir
        self._note = PlanProgress(run_dir, self._plan)
        uri = self._existing_uri
        self._existing = read_existing(run_dir.storage, uri) if uri else None

    def teardown(self) -> None:
        self._note.tell(last=True)

    def process(self, element: Block) -> Iterator[tuple[int, ChunkBatch]]:
        batch = chunk_block(self._chunking, element, self._existing)
        self._note.add(batch.items, batch.all_chunks)
        yield element.partition, batch


def _counts_of(block: Block, chunks: int, skipped: int) -> dict[str, int]:
    size = sum(item.size for item in block.items)
    return {"items": len(block.items), "chunks": chunks, "skipped": skipped, "source_bytes": size}


def _keys_of(block: Block) -> bytes:
    return to_bytes(pa.table([[item.key for item in block.items]], schema=KEYS))


_SHARED: dict[str, ExistingRows] = {}
_LOADING = threading.Lock()


def read_existing(storage: Storage, uri: str) -> ExistingRows:
    """Read the index once a process: threads share it, and from a disk, processes too.

    It has a digest for every row of the destination: a copy for each thread would not fit.
    """
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
