"""Sidecars: keys, titles and metadata of files, from ``NAME.json`` files or from one manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reembed.errors import ObjectNotFoundError, RejectError, UsageError
from reembed.sources.entries import Entry, check_key, read_entry
from reembed.sources.manifest import inspect_manifest
from reembed.sources.rows import STAGE
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage
from reembed.storage.names import is_gs
from reembed.storage.parallel import in_parallel
from reembed.types import Item, Position, Reject

SUFFIX = ".json"
# A sidecar is read whole, and millions of them are read.
_MOST_BYTES = 1_000_000
_EXAMPLES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sidecars:
    """Files with the fields of their sidecars, and a sentence about those that did not match."""

    items: list[Item]
    note: str


def with_sidecar_files(items: Sequence[Item], storage: Storage) -> Sidecars:
    """Read ``photo.jpg.json`` for ``photo.jpg``; sidecars themselves are not inputs.

    A file whose sidecar cannot be read becomes a reject.

    Raises:
        UsageError: two files have one key.
        StorageError: the storage does not answer.
    """
    sidecars = {item.uri + SUFFIX for item in items}
    files = [item for item in items if item.uri not in sidecars]
    found = in_parallel(lambda item: _read(item, storage), files)
    bare = sum(entry is None for entry in found)
    note = f"{bare:,} of {len(files):,} files have no {SUFFIX} beside them" if bare else ""
    return _numbered([_merged(i, e) for i, e in zip(files, found, strict=True)], note)


def _read(item: Item, storage: Storage) -> Entry | Reject | None:
    uri = item.uri + SUFFIX
    try:
        size = storage.stat(uri).size
        if size > _MOST_BYTES:
            raise RejectError("bad_sidecar", f"it has {size:,} bytes")
        entry = read_entry(storage.read(uri), None)
        _check_no_content(entry)
    except ObjectNotFoundError:
        return None
    except RejectError as err:
        return Reject("bad_sidecar", f"{uri} cannot be used: {err.message}", STAGE)
    return entry


def _check_no_content(entry: Entry) -> None:
    # Else it would be a manifest line for another content than the file beside it.
    if entry.uri is not None or entry.text is not None or entry.parts:
        raise RejectError("bad_sidecar", "a sidecar has only key, title and metadata")


def with_sidecar_manifest(
    items: Sequence[Item], manifest_item: Item, storage: Storage, resolver: Resolver
) -> Sidecars:
    """Read the fields of files from the lines of one manifest.

    A line names a file by `uri`, and then its `key` is the file's new one; or by `key` alone.

    Args:
        items: the files.
        manifest_item: the manifest.
        storage: reads it.
        resolver: makes its URIs absolute.

    Raises:
        UsageError: a line cannot be read or has neither uri nor key; a file is named twice; two
            files have one key.
    """
    manifest = inspect_manifest(manifest_item, storage)
    # Whoever writes into a bucket must not choose files of this machine.
    resolver = replace(resolver, local=not is_gs(manifest_item.uri))
    by_uri, by_key = {i.uri: i for i in items}, {i.key: i for i in items}
    found: dict[str, Entry] = {}
    strays: list[str] = []
    for record in manifest.records(storage):
        where = f"{manifest.name}, line {record.line}"
        try:
            entry = read_entry(record.data, manifest.header)
            if entry.text is not None or entry.parts:
                raise RejectError("bad_line", "a sidecar names files by uri or key alone")
            uri = resolver.resolve(entry.uri) if entry.uri else ""
            item = by_uri.get(uri) if uri else by_key.get(check_key(entry))
        except RejectError as err:
            raise UsageError(f"{where}: {err.message}") from err
        if item is None:
            strays.append(f"{where} ({entry.uri or entry.key})")
        elif item.uri in found:
            raise UsageError(f"{where}: {item.uri} was named before; keep one of the lines")
        else:
            found[item.uri] = entry
    merged = [_merged(item, found.get(item.uri)) for item in items if item.uri != manifest_item.uri]
    return _numbered(merged, _unmatched(strays, len(merged) - len(found), len(merged)))


def _unmatched(strays: Sequence[str], bare: int, files: int) -> str:
    notes = []
    if strays:
        more = ", …" if len(strays) > _EXAMPLES else ""
        shown = ", ".join(strays[:_EXAMPLES]) + more
        notes.append(f"{len(strays):,} lines of the sidecar name no file: {shown}")
    if bare:
        notes.append(f"{bare:,} of {files:,} files are not in the sidecar")
    return "; ".join(notes)


def _merged(item: Item, entry: Entry | Reject | None) -> Item:
    if entry is None:
        return item
    if isinstance(entry, Reject):
        return replace(item, reject=entry)
    return replace(
        item, key=entry.key or item.key, title=entry.title or item.title, metadata=entry.metadata
    )


def _numbered(items: list[Item], note: str) -> Sidecars:
    """Number the files by their keys, which may be new, and log the note."""
    ordered = sorted(items, key=lambda item: (item.key, item.uri))
    repeated = [
        f"{one.key!r} ({one.uri} and {two.uri})"
        for one, two in pairwise(ordered)
        if one.key == two.key
    ]
    if repeated:
        shown = ", ".join(repeated[:_EXAMPLES])
        raise UsageError(
            f"{len(repeated):,} keys name two files each: {shown}; correct the sidecars"
        )
    if note:
        logger.warning("%s", note)
    return Sidecars([replace(i, position=Position(n)) for n, i in enumerate(ordered)], note)


def find_manifest(items: Sequence[Item], pattern: str) -> Item:
    """Return the one file that the pattern of `source.sidecar` matches.

    Raises:
        UsageError: it matches several.
    """
    if len(items) != 1:
        raise UsageError(f"source.sidecar: {pattern} matches {len(items)} files; give one manifest")
    return items[0]
