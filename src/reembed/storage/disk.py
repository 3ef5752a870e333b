"""What the operating system says of files: its errors and its stat, in this package's words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.base import Stat

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
    """Tell whether the error means that the name leads to nothing."""
    return err.errno in _GONE


@contextmanager
def disk_errors(path: str, doing: str) -> Iterator[None]:
    """Translate the errors of the operating system.

    Args:
        path: what to name when the system names nothing.
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
