"""`source.manifest`: JSONL or CSV files, a line an input.

Manifests are not copied into a listing: they may have hundreds of millions of lines. One reading
parses every line, keeps 8 bytes of each key to find repeated ones, and cuts ranges of lines that
lie in one partition; workers read the ranges. It happens only when a plan is made, since the
identity is that of the files.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
import orjson

from reembed.config.load import LoadedConfig
from reembed.core.names import PARTITION_ITEMS, partition_of
from reembed.errors import ObjectNotFoundError, RejectError, UsageError
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import BLOCK_ITEMS, BLOCK_ROWS, Block, Prepared, SourceKind, Span
from reembed.sources.entries import (
    BOM,
    Entry,
    Record,
    check_content,
    check_key,
    read_entry,
    read_header,
    read_records,
)
from reembed.sources.rows import STAGE
from reembed.sources.uris import Resolver, is_data
from reembed.storage.base import Storage
from reembed.storage.listing import list_files, sample_digest
from reembed.storage.names import is_gs
from reembed.types import Item, ItemPart, Position, Reject

_EXAMPLES = 3
_HEAD = 4096
_JSON = (".jsonl", ".ndjson", ".json")
# Lines of a span are in a worker's memory together.
_SPAN_BYTES = 8_000_000
# How many texts an object counts for: it has to be fetched, which many workers share.
_OBJECT_WEIGHT = BLOCK_ROWS // BLOCK_ITEMS
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED = (b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """Manifest: its URI and state, its short name, and the columns of CSV (None: JSON)."""

    uri: str
    generation: str
    name: str
    header: tuple[str, ...] | None

    def records(
        self, storage: Storage, start: int = 0, line: int = 1, end: int | None = None
    ) -> Iterator[Record]:
        """Read its records from an offset up to another, without the header."""
        quoted = self.header is not None
        with storage.open(self.uri, self.generation) as stream:
            records = read_records(stream, start, line, quoted=quoted)
            if quoted and start == 0:
                next(records, None)
            for record in records:
                if end is not None and record.offset >= end:
                    return
                if record.data != BOM:  # a file of nothing but a byte order mark
                    yield record


@dataclass(frozen=True, slots=True)
class ManifestLines:
    """Lines of manifests, numbered over all of them in the order of their names."""

    files: tuple[ManifestFile, ...]
    storage: Storage
    resolver: Resolver
    sample: int | None = None
    unique: bool = True

    def identity(self) -> Iterator[bytes]:
        """Every manifest in its generation; objects that its lines name are not looked at."""
        for file in self.files:
            yield orjson.dumps(asdict(file))

    def prepare(self, run_dir: RunDir, plan: str) -> Prepared:
        """Read all lines once, for their number, their keys and their ranges; write nothing.

        Raises:
            UsageError: keys come more than once, with examples and their lines.
        """
        scan = _Scan()
        for file in self.files:
            for record in file.records(run_dir.storage):
                scan.add(file, record)
        scan.close()
        repeated = scan.repeated()
        if repeated:
            raise UsageError(self._explain_repeated(run_dir.storage, repeated))
        reader = ManifestReader(self.files, self.resolver)
        if self.sample is None:
            return Prepared(reader, tuple(scan.spans), len(scan.digests))
        keys = (key for file in self.files for key in _keys(file, run_dir.storage))
        chosen = heapq.nsmallest(self.sample, map(sample_digest, keys))
        reader = replace(reader, most=chosen[-1] if chosen else b"")
        return Prepared(reader, tuple(scan.spans), len(chosen))

    def _explain_repeated(self, storage: Storage, repeated: frozenset[int]) -> str:
        seen: dict[str, list[str]] = {}
        for file in self.files:
            for record in file.records(storage):
                key = _key_of(file, record)
                if _digest(key) in repeated:
                    seen.setdefault(key, []).append(f"{file.name}:{record.line}")
        found = {key: lines for key, lines in seen.items() if len(lines) > 1}
        shown = "; ".join(
            f"{key!r} ({len(lines):,} times, at {', '.join(lines[:_EXAMPLES])})"
            for key, lines in list(found.items())[:_EXAMPLES]
        )
        return (
            f"{len(found):,} keys came more than once, and a key names one input: {shown}; make "
            "the keys unique"
        )

    def describe(self) -> str:
        """Number of lines and of manifests; number of lines that cannot be read."""
        lines = bad = 0
        for file in self.files:
            for record in file.records(self.storage):
                lines += 1
                bad += isinstance(_entry(file, record), Reject)
        note = f", of which {bad:,} cannot be read" if bad else ""
        return f"{lines:,} lines in {len(self.files):,} manifests{note}"


class _Scan:
    """Result of reading all lines once: 8 bytes of each key, and the spans."""

    def __init__(self) -> None:
        self.digests, self.spans = array("Q"), list[Span]()
        self._first: tuple[ManifestFile, Record, int] | None = None
        self._end = self._weight = 0

    def add(self, file: ManifestFile, record: Record) -> None:
        """Count a record, and add it to the open span or to a new one."""
        index = len(self.digests)
        entry = _entry(file, record)
        self.digests.append(_digest(_key_in(file, record, entry)))
        cheap = isinstance(entry, Reject) or entry.text is not None
        weight = 1 if cheap else _OBJECT_WEIGHT
        if self._first is None or not self._fits(file, record, index, weight):
            self.close()
            self._first, self._weight = (file, record, index), 0
        self._end = record.end
        self._weight += weight

    def _fits(self, file: ManifestFile, record: Record, index: int, weight: int) -> bool:
        assert self._first is not None
        return (
            self._weight + weight <= BLOCK_ROWS
            # A span is one block, and a block lies in one partition.
            and index % PARTITION_ITEMS != 0
            and record.end - self._first[1].offset <= _SPAN_BYTES
            and self._first[0] is file
        )

    def close(self) -> None:
        """End the span that is open."""
        if self._first is not None:
            file, record, index = self._first
            span = Span(file.uri, record.offset, self._end, index, file.generation, record.line)
            self.spans.append(span)
        self._first = None

    def repeated(self) -> frozenset[int]:
        """Digests that came more than once.

        Different keys may share a digest, once in 2**64: `_explain_repeated` compares the keys.
        """
        found = np.sort(np.frombuffer(self.digests, np.uint64))
        return frozenset(found[1:][found[1:] == found[:-1]].tolist())


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _keys(file: ManifestFile, storage: Storage) -> Iterator[str]:
    return (_key_of(file, record) for record in file.records(storage))


def _key_of(file: ManifestFile, record: Record) -> str:
    return _key_in(file, record, _entry(file, record))


def _key_in(file: ManifestFile, record: Record, entry: Entry | Reject) -> str:
    """Return a line's key; that of an unreadable line is made of manifest and line number."""
    return f"{file.name}:{record.line}" if isinstance(entry, Reject) else check_key(entry)


def _entry(file: ManifestFile, record: Record) -> Entry | Reject:
    try:
        entry = read_entry(record.data, file.header)
        check_key(entry)
        check_content(entry)
    except RejectError as err:
        return _reject(file, record, err)
    return entry


@dataclass(frozen=True, slots=True)
class ManifestReader:
    """Reads ranges of lines; `most` is the largest digest that a sample includes."""

    files: tuple[ManifestFile, ...]
    resolver: Resolver
    most: bytes | None = None

    def read(self, storage: Storage, span: Span) -> Iterator[Block]:
        """Read the items of a span, which lies in one partition, as one block."""
        file = next(file for file in self.files if file.uri == span.uri)
        # Whoever writes a manifest into a bucket must not choose files of this machine.
        resolver = replace(self.resolver, local=not is_gs(file.uri))
        items = []
        records = file.records(storage, span.start, span.line, span.end)
        for index, record in enumerate(records, span.first):
            item = _item(file, record, Position(index, record.offset), resolver)
            if self.most is None or sample_digest(item.key) <= self.most:
                items.append(item)
        if items:
            yield Block(partition_of(span.first), tuple(items))


def _item(file: ManifestFile, record: Record, position: Position, resolver: Resolver) -> Item:
    entry = _entry(file, record)
    key = _key_in(file, record, entry)
    if isinstance(entry, Reject):
        return Item(key, file.uri, position, generation=file.generation, reject=entry)
    uri, generation, data = file.uri, file.generation, None
    parts: tuple[ItemPart, ...] = ()
    reject = None
    try:
        if entry.uri is not None and is_data(entry.uri):
            uri, data = f"{file.uri}:{record.line}", entry.uri
        elif entry.uri is not None:
            uri, generation = resolver.resolve(entry.uri), ""
        parts = resolver.parts(entry.parts)
    except RejectError as err:
        reject = _reject(file, record, err)
    return Item(
        key,
        uri,
        position,
        generation=generation,
        title=entry.title,
        metadata=entry.metadata,
        text=entry.text,
        parts=parts,
        reject=reject,
        data=data,
    )


def _reject(file: ManifestFile, record: Record, err: RejectError) -> Reject:
    return Reject(err.code, f"{file.name}, line {record.line}: {err.message}", STAGE)


def open_manifest(loaded: LoadedConfig, storage: Storage) -> ManifestLines:
    """List the manifests of a configuration and inspect how each begins.

    Raises:
        UsageError: a pattern matches nothing; a file is not a manifest.
    """
    config = loaded.config
    items = list_files(config.source.manifest, storage, loaded.base, exclude=(config.run_dir,))
    files = tuple(inspect_manifest(item, storage) for item in items)
    resolver = Resolver(str(loaded.base), https=config.source.https)
    return ManifestLines(files, storage, resolver, config.source.sample)


MANIFEST: Final = SourceKind(open_manifest, samples=True)


def inspect_manifest(item: Item, storage: Storage) -> ManifestFile:
    """Tell JSONL from CSV, by the name, else by the first character.

    Raises:
        UsageError: it is neither, or not in UTF-8.
    """
    try:
        with storage.open(item.uri, item.generation) as stream:
            head = stream.read(_HEAD)
            # Both would be read as lines of garbage, each a reject of its own.
            if head.startswith(_UTF16):
                raise UsageError(f"{item.uri} is in UTF-16; save it as UTF-8")
            if head.startswith(_COMPRESSED):
                raise UsageError(f"{item.uri} is compressed; decompress it")
            begins = head.removeprefix(BOM).lstrip()
            name = item.uri.lower()
            if name.endswith(".csv") or (not name.endswith(_JSON) and begins[:1] != b"{"):
                header = next(read_records(stream, quoted=True), None)
                if header is None:
                    raise UsageError(f"{item.uri} is empty; give it a header and lines")
                columns = read_header(header.data, item.uri)
                return ManifestFile(item.uri, item.generation, item.key, columns)
    except ObjectNotFoundError as err:
        raise UsageError(f"{item.uri} vanished while it was listed; run again") from err
    if begins.startswith(b"["):
        raise UsageError(f"{item.uri} holds a JSON array; give one object a line")
    return ManifestFile(item.uri, item.generation, item.key, None)
