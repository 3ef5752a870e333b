"""Walk the files below a folder in the order of their paths, cycles and vanishing files in mind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from reembed.storage.base import Stat
from reembed.storage.disk import disk_errors, is_gone, to_stat
from reembed.storage.names import is_temporary

MISSING: Final = "missing"
Identity = tuple[int, int]
_Entry = tuple[str, os.DirEntry[str], bool]


def walk(
    top: str,
    enter: Callable[[str], bool],
    take: Callable[[str], bool],
    barred: frozenset[Identity] = frozenset(),
) -> Iterator[Stat]:
    """Yield the regular files below `top`, sorted by the code points of their full paths.

    Links are followed; a link to a folder that is being walked is not entered again. A link that
    leads nowhere is yielded with generation `MISSING`, so that its absence can be told. Files
    that vanish meanwhile, sockets, pipes, devices and our own temporary files are left out.

    Args:
        top: an absolute folder; nothing is yielded when it is not there.
        enter: asked for the path of each folder.
        take: asked for the path of each file, before anything is read of it.
        barred: folders never to enter, under whatever name (see `identity`).

    Raises:
        StorageError: a folder or file that cannot be looked at.
    """
    start = identity(top)
    if start is None or start in barred:
        return
    trail = [start]
    levels = [iter(_entries(top))]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            trail.pop()
            continue
        _, found, is_folder = entry
        if not is_folder:
            status = _look(found) if take(found.path) else None
            if status is not None:
                yield status
        elif enter(found.path):
            inner = identity(found.path)
            if inner is not None and inner not in trail and inner not in barred:
                trail.append(inner)
                levels.append(iter(_entries(found.path)))


def identity(path: str) -> Identity | None:
    """Name a folder by device and number, whatever path led to it; None when it is not there."""
    with disk_errors(path, "look at"):
        try:
            status = os.stat(path)
        except OSError as err:
            if is_gone(err):
                return None
            raise
    return status.st_dev, status.st_ino


def _entries(folder: str) -> list[_Entry]:
    """List a folder in the order that the full paths below it will have."""
    with disk_errors(folder, "list the folder"):
        try:
            with os.scandir(folder) as found:
                entries = [(e, _is_folder(e)) for e in found if not is_temporary(e.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    # "a.txt" sorts before "a/b", since "." is before "/": a folder's name counts with its slash.
    keyed = [(e.name + "/" if folder_ else e.name, e, folder_) for e, folder_ in entries]
    return sorted(keyed, key=lambda entry: entry[0])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as err:
        if is_gone(err):
            return False
        raise


def _look(entry: os.DirEntry[str]) -> Stat | None:
    with disk_errors(entry.path, "look at"):
        try:
            status = entry.stat()
        except OSError as err:
            if not is_gone(err):
                raise
            return Stat(entry.path, 0, 0.0, MISSING) if entry.is_symlink() else None
    return to_stat(entry.path, status) if stat.S_ISREG(status.st_mode) else None
