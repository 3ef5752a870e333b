"""Walk of a folder in path order, safe against cycles and vanishing files; errors of the disk."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.base import Stat
from reembed.storage.names import is_temporary

_REMEDIES: Final = {
    errno.EACCES: "permission denied; give this user access to it and to the folders above",
    errno.EPERM: "not permitted; the file system must allow this user to write and to hard-link",
    errno.EOPNOTSUPP: "the file system lacks hard links; put the folder on one that has them",
    errno.ENOSPC: "the disk is full; free space, then the same command resumes",
    errno.EDQUOT: "the disk quota is used up; free space, then the same command resumes",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long for the file system; shorten it",
    errno.EISDIR: "it is a folder, not a file; remove it or choose another name",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another name",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
    errno.EIO: "the disk reported an error; look at the system's log",
}
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def to_stat(path: str, status: os.stat_result) -> Stat:
    """Describe a file; `created` is its modification time, for write-once files the same thing."""
    generation = f"{status.st_size}-{status.st_mtime_ns}"
    return Stat(path, status.st_size, status.st_mtime_ns / 1e9, generation)


def is_gone(err: OSError) -> bool:
    """Tell whether an error means that the name leads to nothing."""
    return err.errno in _GONE


@contextmanager
def disk_errors(path: str, doing: str) -> Iterator[None]:
    """Translate errors of the operating system that are raised in the block.

    Args:
        path: for the message.
        doing: a verb for the message, for instance ``read``.

    Raises:
        ObjectNotFoundError: there is no such file.
        AlreadyExistsError: the name is taken.
        StorageError: everything else, with the remedy.
    """
    try:
        yield
    except FileNotFoundError as err:
        raise ObjectNotFoundError(f"{path!r}: no such file") from err
    except FileExistsError as err:
        raise AlreadyExistsError(f"{path!r}: the name is taken") from err
    except OSError as err:
        remedy = _REMEDIES.get(err.errno or 0, os.strerror(err.errno) if err.errno else str(err))
        raise StorageError(f"{path!r}: cannot {doing}: {remedy}") from err


MISSING: Final = "missing"
Identity = tuple[int, int]
_Entry = tuple[str, os.DirEntry[str], bool]


def walk(
    top: str,
    enter: Callable[[str], bool],
    take: Callable[[str], bool],
    excluded: frozenset[Identity] = frozenset(),
) -> Iterator[Stat]:
    """Yield the regular files below `top`, sorted by the code points of their full paths.

    Links are followed; a link to a folder that is being walked is not entered again. A link that
    leads nowhere is yielded with generation `MISSING`, so that it becomes a reject instead of
    missing silently. Files that vanish meanwhile, sockets, pipes, devices and temporary files of
    this tool are left out.

    Args:
        top: an absolute folder; nothing is yielded when it is not there.
        enter: decides about each folder, by its path.
        take: decides about each file, by its path, before anything is read of it.
        excluded: folders never to enter, under whatever name (see `identity`).

    Raises:
        StorageError: a folder or file that cannot be looked at.
    """
    start = identity(top)
    if start is None or start in excluded:
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
            status = _describe(found) if take(found.path) else None
            if status is not None:
                yield status
        elif enter(found.path):
            inner = identity(found.path)
            if inner is not None and inner not in trail and inner not in excluded:
                trail.append(inner)
                levels.append(iter(_entries(found.path)))


def stat_or_none(path: str) -> os.stat_result | None:
    """Look a path up, following links; None: it leads to nothing."""
    with disk_errors(path, "look at"):
        try:
            return os.stat(path)
        except OSError as err:
            if is_gone(err):
                return None
            raise


def identity(path: str) -> Identity | None:
    """Identify a folder by device and inode, whatever path led to it; None: there is none."""
    status = stat_or_none(path)
    return None if status is None else (status.st_dev, status.st_ino)


def _entries(folder: str) -> list[_Entry]:
    """List a folder in the order that the full paths below it will have."""
    with disk_errors(folder, "list the folder"):
        try:
            with os.scandir(folder) as found:
                entries = [(e, _is_folder(e)) for e in found if not is_temporary(e.name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    # "a.txt" sorts before "a/b", since "." is before "/": a folder is sorted with its slash.
    keyed = [(e.name + "/" if folder_ else e.name, e, folder_) for e, folder_ in entries]
    return sorted(keyed, key=lambda entry: entry[0])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as err:
        if is_gone(err):
            return False
        raise


def _describe(entry: os.DirEntry[str]) -> Stat | None:
    with disk_errors(entry.path, "look at"):
        try:
            status = entry.stat()
        except OSError as err:
            if not is_gone(err):
                raise
            return Stat(entry.path, 0, 0.0, MISSING) if entry.is_symlink() else None
    return to_stat(entry.path, status) if stat.S_ISREG(status.st_mode) else None
