"""Temporary files beside their target, durable writes, and a lock on a folder."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from reembed.storage.names import TEMPORARY_PREFIX

_COUNTER: Final = itertools.count()
_NO_LINK: Final = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
)
_NO_LOCK: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def written_beside(target: str, data: bytes, durable: bool = True) -> Iterator[str]:
    """Yield a temporary file in the target's folder that holds `data`; then remove it."""

    def write(name: str) -> None:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            if durable:
                os.fsync(out.fileno())

    with _beside(target, write) as name:
        yield name


@contextmanager
def placed_beside(target: str, path: Path) -> Iterator[str]:
    """Yield a finished file under a temporary name in the target's folder; then remove the name.

    A hard link where the file system allows one, a copy otherwise.
    """
    with path.open("rb") as source:
        os.fsync(source.fileno())

    def place(name: str) -> None:
        try:
            os.link(path, name)
        except OSError as err:
            if err.errno not in _NO_LINK:
                raise
            with path.open("rb") as source, open(name, "xb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
                out.flush()
                os.fsync(out.fileno())

    with _beside(target, place) as name:
        _let_go(name)
        yield name


@contextmanager
def folder_lock(folder: str) -> Iterator[None]:
    """Hold the folder's advisory lock; on file systems without locks, go on without one."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as err:
            if err.errno not in _NO_LOCK:
                raise
        yield
    finally:
        # Said aloud, since a process forked meanwhile would keep the lock of a closed handle.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _let_go(name: str) -> None:
    """Let go of the memory that holds a durable file.

    Nothing reads a finished file again soon, and the next one is written into the same memory:
    pages that a virtual machine must ask its host for take as long as a sixth of collecting.
    """
    # Not every file system or platform takes advice.
    with suppress(OSError, AttributeError), open(name, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _beside(target: str, make: Callable[[str], None]) -> Iterator[str]:
    folder = os.path.dirname(target)
    try:
        name = _first_free(folder, make)
    except FileNotFoundError:
        # The folder is made only when it is missed: a stat for each record would cost more.
        _make_folders(folder)
        name = _first_free(folder, make)
    try:
        yield name
    finally:
        _remove(name)


def _first_free(folder: str, make: Callable[[str], None]) -> str:
    while True:
        candidate = os.path.join(folder, _candidate())
        try:
            make(candidate)
        except FileExistsError:
            # Another machine with our process id writes here: take the next number.
            continue
        except BaseException:
            _remove(candidate)
            raise
        return candidate


def _candidate() -> str:
    return f"{TEMPORARY_PREFIX}{os.getpid()}-{threading.get_ident()}-{next(_COUNTER)}"


def _remove(name: str) -> None:
    # A name that cannot be removed is no reason to hide the error that led here.
    with suppress(OSError):
        os.unlink(name)


def _make_folders(folder: str) -> None:
    """Make a folder and those above it, each durable in its parent."""
    parent = os.path.dirname(folder)
    if os.path.isdir(folder):
        return
    if not os.path.isdir(parent):
        _make_folders(parent)
    with suppress(FileExistsError):
        os.mkdir(folder)
    sync_folder(parent)
