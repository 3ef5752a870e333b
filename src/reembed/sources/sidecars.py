"""Keys, titles and metadata that stand beside files: in ``NAME.json`` each, or in one manifest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reembed.errors import ObjectNotFoundError, RejectError, UsageError
from reembed.sources.entries import Entry, check_key, read_entry
from reembed.sources.manifest import look_at
from reembed.sources.rows import STAGE
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage
from reembed.storage.names import is_gs
from reembed.storage.parallel import in_parallel
from reembed.types import Item, Position, Reject

SUFFIX = ".json"
_MOST_BYTES = 1_000_000
_EXAMPLES = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """Files with what their sidecars say, and a sentence about what did not match."""

    items: list[Item]
    said: str


def with_sidecar_files(items: Sequence[Item], storage: Storage) -> Told:
    """Take what ``photo.jpg.json`` says of ``photo.jpg``; the sidecars themselves are no inputs.

    A file whose sidecar cannot be read becomes a reject.

    Raises:
        UsageError: two files have one key.
        StorageError: the storage does not answer.
    """
    beside = {item.uri + SUFFIX for item in items}
    files = [item for item in items if item.uri not in beside]
    found = in_parallel(lambda item: _read(item, storage), files)
    bare = sum(entry is None for entry in found)
    said = f"{bare:,} of {len(files):,} files have no {SUFFIX} beside them" if bare else ""
    return _told([_merged(i, e) for i, e in zip(files, found, strict=True)], said)


def _read(item: Item, storage: Storage) -> Entry | Reject | None:
    uri = item.uri + SUFFIX
    try:
        size = storage.stat(uri).size
        if size > _MOST_BYTES:
            raise RejectError("bad_sidecar", f"it has {size:,} bytes")
        entry = read_entry(storage.read(uri), None)
        _check_alone(entry)
    except ObjectNotFoundError:
        return None
    except RejectError as err:
        return Reject("bad_sidecar", f"{uri} cannot be taken: {err.message}", STAGE)
    return entry


def _check_alone(entry: Entry) -> None:
    if entry.uri is not None or entry.text is not None or entry.parts:
        raise RejectError("bad_sidecar", "a sidecar has only key, title and metadata")


def with_sidecar_manifest(
    items: Sequence[Item], listed: Item, storage: Storage, resolver: Resolver
) -> Told:
    """Take what the lines of one manifest say of the files that they name.

    A line names a file by `uri`, and then its `key` is the file's new one; or by `key` alone.

    Args:
        items: the files.
        listed: the manifest.
        storage: reads it.
        resolver: makes places of its URIs.

    Raises:
        UsageError: a line that cannot be read, that names no file by its form, or a file twice;
            two files have one key.
    """
    manifest = look_at(listed, storage)
    resolver = replace(resolver, local=not is_gs(listed.uri))
    by_uri, by_key = {i.uri: i for i in items}, {i.key: i for i in items}
    found: dict[str, Entry] = {}
    strays: list[str] = []
    for record in manifest.records(storage):
        spot = f"{manifest.name}, line {record.line}"
        try:
            entry = read_entry(record.data, manifest.header)
            if entry.text is not None or entry.parts:
                raise RejectError("bad_line", "a sidecar names files by uri or key alone")
            named = resolver.resolve(entry.uri) if entry.uri else ""
            item = by_uri.get(named) if named else by_key.get(check_key(entry))
        except RejectError as err:
            raise UsageError(f"{spot}: {err.message}") from err
        if item is None:
            strays.append(f"{spot} ({entry.uri or entry.key})")
        elif item.uri in found:
            raise UsageError(f"{spot}: {item.uri} was named before; keep one of the lines")
        else:
            found[item.uri] = entry
    merged = [_merged(item, found.get(item.uri)) for item in items if item.uri != listed.uri]
    return _told(merged, _unmatched(strays, len(merged) - len(found), len(merged)))


def _unmatched(strays: Sequence[str], bare: int, files: int) -> str:
    said = []
    if strays:
        more = ", …" if len(strays) > _EXAMPLES else ""
        shown = ", ".join(strays[:_EXAMPLES]) + more
        said.append(f"{len(strays):,} lines of the sidecar name no file: {shown}")
    if bare:
        said.append(f"{bare:,} of {files:,} files are not in the sidecar")
    return "; ".join(said)


def _merged(item: Item, entry: Entry | Reject | None) -> Item:
    if entry is None:
        return item
    if isinstance(entry, Reject):
        return replace(item, reject=entry)
    return replace(
        item, key=entry.key or item.key, title=entry.title or item.title, metadata=entry.metadata
    )


def _told(items: list[Item], said: str) -> Told:
    """Number the files by their keys, which may be new."""
    ordered = sorted(items, key=lambda item: (item.key, item.uri))
    doubled = [
        f"{one.key!r} ({one.uri} and {two.uri})"
        for one, two in pairwise(ordered)
        if one.key == two.key
    ]
    if doubled:
        shown = ", ".join(doubled[:_EXAMPLES])
        raise UsageError(f"{len(doubled):,} keys name two files each: {shown}; mend the sidecars")
    if said:
        logger.warning("%s", said)
    return Told([replace(i, position=Position(n)) for n, i in enumerate(ordered)], said)


def find_manifest(items: Sequence[Item], place: str) -> Item:
    """The one file that a sidecar's place names.

    Raises:
        UsageError: there are several.
    """
    if len(items) != 1:
        raise UsageError(f"source.sidecar: {place} names {len(items)} files; give one manifest")
    return items[0]
