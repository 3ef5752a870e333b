"""List the files that patterns match, number them, and sample them deterministically."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reembed.errors import ObjectNotFoundError, UsageError
from reembed.storage.base import Stat, Storage
from reembed.storage.names import GS, is_gs, is_within, local_path, split_gs
from reembed.storage.patterns import EVERYTHING, Pattern, split_pattern
from reembed.storage.walk import MISSING, Identity, disk_errors, identity, to_stat, walk
from reembed.types import Item, Position


def sample_digest(key: str) -> bytes:
    """Digest a key: a sample has the items with the smallest digests.

    So a larger sample holds every smaller one, and a later full run finds its rows paid.
    """
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def sample_items(items: Sequence[Item], count: int) -> list[Item]:
    """Take the `count` items whose keys have the smallest digests, in their order.

    Positions stay those of the full listing, so that the order compares with a later full run.

    Raises:
        UsageError: the count is not positive.
    """
    if count < 1:
        raise UsageError(f"a sample of {count} items: give 1 or more")
    hashed = ((sample_digest(item.key), i) for i, item in enumerate(items))
    chosen = sorted(index for _, index in heapq.nsmallest(count, hashed))
    return [items[index] for index in chosen]


_EXAMPLES: Final = 3


def list_files(
    patterns: Sequence[str], storage: Storage, base: Path, exclude: Sequence[str] = ()
) -> list[Item]:
    """List the files that any of the patterns matches, each once, sorted by key.

    A pattern is a path, relative to `base`, or ``gs://bucket/…``; `reembed.storage.patterns` has
    the wildcards. A name that exists as it is written is taken literally, even with wildcards in
    it. A folder means everything below it. Names that begin with a dot are skipped unless the
    pattern writes the dot. Links to files and folders are followed; a link that leads nowhere is
    an item, so that it ends as a reject. Folders, pipes, devices and the empty objects that
    represent folders in Cloud Storage are not items.

    Args:
        patterns: at least one.
        storage: lists Cloud Storage; the disk is walked folder by folder, so that folders which
            cannot match are never opened.
        base: the folder of the configuration; keys below it are relative to it.
        exclude: folders or files, absolute, that are never listed.

    Raises:
        UsageError: no pattern, a pattern that matches nothing, a name that is not UTF-8.
        StorageError: a folder that cannot be read, a bucket that is not there.
    """
    if not patterns or "" in patterns:
        raise UsageError("no file pattern, or an empty one: give one, for instance ./corpus/**")
    root = os.path.abspath(base)
    excluded = _Excluded.of(exclude)
    found: dict[str, Stat] = {}
    for pattern in patterns:
        matches = (
            _in_bucket(pattern, storage) if is_gs(pattern) else _on_disk(pattern, root, excluded)
        )
        listed = {stat.uri: stat for stat in matches if not excluded.contains(stat.uri)}
        if not listed:
            raise UsageError(_no_match(pattern, root, exclude))
        found |= listed
    return number_items(found.values(), lambda uri: _key(uri, root))


def number_items(found: Iterable[Stat], key_of: Callable[[str], str]) -> list[Item]:
    """Sort listed files by their keys' code points and number them.

    Raises:
        UsageError: two files with one key, or a name that is not UTF-8; with examples.
    """
    by_key: dict[str, Stat] = {}
    repeated: list[str] = []
    undecodable: list[str] = []
    for stat in found:
        key = key_of(stat.uri)
        if not _is_text(key):
            undecodable.append(repr(os.fsencode(stat.uri)))
        elif key in by_key:
            repeated.append(f"{key!r} ({by_key[key].uri!r} and {stat.uri!r})")
        else:
            by_key[key] = stat
    _refuse(undecodable, "names that are not UTF-8, which no table can hold; rename them")
    _refuse(repeated, "keys that name two files each; list fewer or rename them")
    return [
        Item(key, stat.uri, Position(index), stat.size, stat.generation, stat.checksum)
        for index, (key, stat) in enumerate(sorted(by_key.items()))
    ]


@dataclass(frozen=True, slots=True)
class _Excluded:
    """Folders and files never to list: by name, and on disk by identity, whatever link leads there.

    A run directory below the corpus must not be embedded, nor may a link to it.
    """

    names: tuple[str, ...]
    identities: frozenset[Identity]

    @classmethod
    def of(cls, exclude: Sequence[str]) -> _Excluded:
        names = tuple(uri if is_gs(uri) else local_path(uri) for uri in exclude)
        known = (identity(uri) for uri in names if not is_gs(uri))
        return cls(names, frozenset(each for each in known if each))

    def contains(self, uri: str) -> bool:
        return any(is_within(uri, name) for name in self.names)


def _on_disk(pattern: str, root: str, excluded: _Excluded) -> Iterator[Stat]:
    if "\0" in pattern:
        raise UsageError(f"{pattern!r}: a path cannot hold a NUL byte")
    if os.path.lexists(literal := os.path.join(root, pattern)):
        return _literal_path(os.path.normpath(literal), excluded)
    folder, rest = split_pattern(_tidy(pattern))
    top = os.path.normpath(os.path.join(root, folder))
    if rest is None:
        return _literal_path(top, excluded)
    if any(segment.literal == ".." for segment in rest.segments):
        raise UsageError(f"{pattern!r}: .. cannot follow a wildcard; write the folder itself")
    return _walked(top, rest, excluded)


def _literal_path(path: str, excluded: _Excluded) -> Iterator[Stat]:
    """Yield the file of this very name, or everything below the folder of this name."""
    if os.path.isdir(path):
        yield from _walked(path, EVERYTHING, excluded)
    elif os.path.isfile(path):
        with disk_errors(path, "look at"):
            yield to_stat(path, os.stat(path))
    elif os.path.islink(path) and not os.path.exists(path):
        yield Stat(path, 0, 0.0, MISSING)


def _walked(top: str, pattern: Pattern, excluded: _Excluded) -> Iterator[Stat]:
    skip = len(top.rstrip("/")) + 1

    def enter(folder: str) -> bool:
        return pattern.may_contain(folder[skip:])

    def take(path: str) -> bool:
        return pattern.matches(path[skip:])

    return walk(top, enter, take, excluded.identities)


def _tidy(pattern: str) -> str:
    """Drop empty names and single dots, which have no meaning in a path."""
    names = [name for name in pattern.split("/") if name not in ("", ".")]
    tail = "/" if names and pattern.endswith("/") else ""
    return ("/" if pattern.startswith("/") else "") + "/".join(names) + tail


def _in_bucket(pattern: str, storage: Storage) -> list[Stat]:
    bucket, name = split_gs(pattern)
    root = f"{GS}{bucket}/"
    if matched := _literal(root, name, storage):
        return matched
    folder, rest = split_pattern(name)
    if rest is None:
        # With its escapes undone, it may be another name than the one written.
        return _literal(root, folder, storage) if folder != name else []
    return list(_objects(root + folder, rest, storage))


def _literal(root: str, name: str, storage: Storage) -> list[Stat]:
    """Find the object of this very name, or all below it as a folder."""
    if name and not name.endswith("/"):
        with suppress(ObjectNotFoundError):
            return [storage.stat(root + name)]
        name += "/"
    return list(_objects(root + name, EVERYTHING, storage))


def _objects(root: str, pattern: Pattern, storage: Storage) -> Iterator[Stat]:
    try:
        for stat in storage.list(root + pattern.prefix):
            name = stat.uri[len(root) :]
            if not name.endswith("/") and pattern.matches(name):
                yield stat
    except ObjectNotFoundError as err:
        raise UsageError(f"{GS}{split_gs(root)[0]}: no such bucket; check its name") from err


def _key(uri: str, root: str) -> str:
    if is_gs(uri) or not is_within(uri, root):
        return uri
    return uri[len(root.rstrip("/")) + 1 :]


def _no_match(pattern: str, root: str, exclude: Sequence[str]) -> str:
    where = "" if is_gs(pattern) else f" (looked from {root!r})"
    never = f", nor is what lies in {', '.join(exclude)}" if exclude else ""
    hint = "folders' contents are named by /**; hidden names are not listed"
    return f"{pattern!r} matches no file{where}: {hint}{never}"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(examples: list[str], why: str) -> None:
    if examples:
        shown = ", ".join(sorted(examples)[:_EXAMPLES])
        raise UsageError(f"{len(examples)} {why}: {shown}")
