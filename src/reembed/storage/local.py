"""Objects as files on disk: written under a temporary name, synced, then linked or renamed.

A process may be killed, and a machine lose its power, at any moment. So a file's bytes are made
durable (fsync) before it gets its name, and the folder after: a name that is there after a crash
leads to whole bytes, and a record that was reported as written is still there.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import stat as modes
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.base import Stat
from reembed.storage.names import TEMPORARY_PREFIX, local_path
from reembed.storage.walk import MISSING, disk_errors, is_gone, stat_or_none, to_stat, walk

_COUNTER: Final = itertools.count()
_NO_LINK: Final = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}
)
_NO_LOCK: Final = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def temporary_file(target: str, data: bytes, durable: bool = True) -> Iterator[str]:
    """Yield a temporary file with `data` in the target's folder; then remove its name.

    In the same folder, since links and renames are atomic only within one file system.
    """

    def write(name: str) -> None:
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            if durable:
                os.fsync(out.fileno())

    with _temporary(target, write) as name:
        yield name


@contextmanager
def temporary_link(target: str, path: Path) -> Iterator[str]:
    """Yield a finished file under a temporary name in the target's folder; then remove the name.

    A hard link where the file system allows one, since parts are large; a copy otherwise.
    """
    with path.open("rb") as source:
        os.fsync(source.fileno())

    def link_or_copy(name: str) -> None:
        try:
            os.link(path, name)
        except OSError as err:
            if err.errno not in _NO_LINK:
                raise
            with path.open("rb") as source, open(name, "xb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
                out.flush()
                os.fsync(out.fileno())

    with _temporary(target, link_or_copy) as name:
        _drop_cache(name)
        yield name


@contextmanager
def folder_lock(folder: str) -> Iterator[None]:
    """Take the folder's advisory lock; on file systems without locks, go on without one."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as err:
            if err.errno not in _NO_LOCK:
                raise
        yield
    finally:
        # Unlocked explicitly: a process that was forked meanwhile keeps the handle, and so would
        # keep the lock after this one closes it.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable: a file's own fsync does not cover its name."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _drop_cache(name: str) -> None:
    """Give back the page cache of a durable file.

    Nothing reads a finished file again soon, and the next one is then written into the same
    memory: pages that a virtual machine must get from its host took a sixth of the time of
    collecting.
    """
    # Not every file system or platform supports this advice.
    with suppress(OSError, AttributeError), open(name, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _temporary(target: str, make: Callable[[str], None]) -> Iterator[str]:
    folder = os.path.dirname(target)
    try:
        name = _first_free(folder, make)
    except FileNotFoundError:
        # The folder is made only when it is missing: a stat for each record would cost more.
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
            # Another machine with the same process id writes here: take the next number.
            continue
        except BaseException:
            _remove(candidate)
            raise
        return candidate


def _candidate() -> str:
    return f"{TEMPORARY_PREFIX}{os.getpid()}-{threading.get_ident()}-{next(_COUNTER)}"


def _remove(name: str) -> None:
    # Failing to remove a temporary name must not hide the error that led here.
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


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """Disk behind the `Storage` protocol; without state, so it pickles and threads share it.

    The clock is the file system's. `create` is a hard link, which fails where the name is taken:
    one of many callers wins, on network disks too, and no reader sees half a file. (Opening with
    ``O_EXCL`` is atomic as well, but shows the name before the bytes.) `put` and
    `publish(replace=…)` compare and replace under an advisory lock on the folder. That does not
    protect against programs that write there without this class, machines that share a network
    disk without locks, and, where time stamps are coarser than a nanosecond, two states of equal
    size within one tick.
    """

    def create(self, uri: str, data: bytes) -> Stat:
        """Write a small file only if its name is free (see `Storage.create`)."""
        target = local_path(uri)
        with disk_errors(target, "create"), temporary_file(target, data) as temporary:
            return _link(temporary, target)

    def put(self, uri: str, data: bytes) -> Stat:
        """Write a small file, replacing what has the name (see `Storage.put`)."""
        target = local_path(uri)
        folder = os.path.dirname(target)
        with disk_errors(target, "write"), temporary_file(target, data) as temporary:
            with folder_lock(folder):
                written = _replace(temporary, target, _current(target))
            sync_folder(folder)
        return written

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        """Link a finished file under `uri` and remove `path` (see `Storage.publish`)."""
        target = local_path(uri)
        if not path.is_file():
            raise StorageError(f"{str(path)!r}: the file to publish as {target!r} is not there")
        with disk_errors(target, "publish"):
            with temporary_link(target, path) as temporary:
                # `created` is the time of appearance, not that of the last byte, long before.
                os.utime(temporary)
                published = (
                    _link(temporary, target)
                    if replace is None
                    else _compare_and_replace(temporary, target, replace)
                )
            with suppress(FileNotFoundError):
                path.unlink()
        return published

    def read(self, uri: str) -> bytes:
        """Read a small file (see `Storage.read`)."""
        with self.open(uri) as source, disk_errors(uri, "read"):
            return source.read()

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        """Open a file of this generation (see `Storage.open`)."""
        path = local_path(uri)
        # Described first: opening a pipe would wait for its other end.
        self.stat(path)
        with disk_errors(path, "read"), ExitStack() as undo:
            source = undo.enter_context(open(path, "rb"))
            now = to_stat(path, os.fstat(source.fileno())).generation
            if generation and now != generation:
                raise ObjectNotFoundError(f"{path!r}: changed: {generation} is now {now}")
            undo.pop_all()
        return source

    def stat(self, uri: str) -> Stat:
        """Describe one file (see `Storage.stat`)."""
        path = local_path(uri)
        found = _current(path)
        if found is None:
            raise ObjectNotFoundError(f"{path!r}: no such file")
        return found

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield the files whose path starts with `prefix`, sorted (see `Storage.list`).

        Raises:
            StorageError: a folder cannot be read; a partial listing would hide records.
        """
        folder, _, name = prefix.rpartition("/")
        start = local_path(folder + "/").rstrip("/") + "/" + name

        def matches(path: str) -> bool:
            return path.startswith(start)

        found = walk(os.path.dirname(start), matches, matches)
        return (entry for entry in found if entry.generation != MISSING)

    def delete(self, uri: str) -> None:
        """Delete a file; no error where there is none."""
        path = local_path(uri)
        with disk_errors(path, "delete"):
            try:
                with folder_lock(os.path.dirname(path)):
                    os.unlink(path)
            except OSError as err:
                if not is_gone(err):
                    raise

    def now(self, scratch_uri: str) -> float:
        """Read the file system's clock by a file that is written and removed."""
        target = local_path(scratch_uri)
        empty = temporary_file(target, b"", durable=False)
        with disk_errors(target, "write"), empty as temporary:
            return to_stat(target, os.stat(temporary)).created


def _current(path: str) -> Stat | None:
    status = stat_or_none(path)
    if status is None or not modes.S_ISREG(status.st_mode):
        return None
    return to_stat(path, status)


def _link(temporary: str, target: str) -> Stat:
    try:
        os.link(temporary, target)
    except FileExistsError:
        # A network disk repeats a link whose answer was lost, and then finds the name taken by the
        # first: that is our own file, not another caller's.
        if not os.path.samefile(temporary, target):
            raise
    sync_folder(os.path.dirname(target))
    return to_stat(target, os.stat(temporary))


def _compare_and_replace(temporary: str, target: str, generation: str) -> Stat:
    folder = os.path.dirname(target)
    with folder_lock(folder):
        old = _current(target)
        if old is None or old.generation != generation:
            now = old.generation if old else "removed"
            raise AlreadyExistsError(f"{target!r}: expected generation {generation}, it is {now}")
        written = _replace(temporary, target, old)
    sync_folder(folder)
    return written


def _replace(temporary: str, target: str, old: Stat | None) -> Stat:
    """Rename over `target`, with a time stamp above the old one, so generations never repeat.

    A generation is made of size and time stamp: two states of equal size within one tick of the
    clock would pass for one, and a compare-and-set would replace what it never saw.
    """
    status = os.stat(temporary)
    if old is not None:
        floor = int(old.generation.partition("-")[2]) + 1
        if status.st_mtime_ns < floor:
            os.utime(temporary, ns=(status.st_atime_ns, floor))
            status = os.stat(temporary)
    os.replace(temporary, target)
    return to_stat(target, status)
