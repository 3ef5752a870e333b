"""Folders for large temporary files: on a disk, since files in memory count as memory.

A folder is removed at the end of its process; that of a killed process, by the next one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_ON_DISK = "/var/tmp"
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_NAMES = ("TMPDIR", "TEMP", "TMP")
_PREFIX = "reembed-scratch-"
# A folder is locked right after it is made. Between the two it looks abandoned, so young folders
# are left alone.
_YOUNG_SECONDS = 3600.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for large temporary files, and remove it at the end of the block.

    Folders that killed processes left are removed first: request files may be gigabytes, and
    contain the corpus.
    """
    parent = Path(scratch_parent() or tempfile.gettempdir())
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Without locks nobody can tell that a folder was abandoned, and it stays.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(handle)


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders whose process has ended: the system released its lock."""
    for folder in sorted(parent.glob(f"{_PREFIX}*")):
        with suppress(OSError):
            _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    """Remove a folder that no process has locked.

    Raises:
        OSError: it is locked, another user's, removed meanwhile, or there are no locks.
    """
    if time.time() - folder.lstat().st_mtime < _YOUNG_SECONDS:
        return
    found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(found)


def scratch_parent(environ: Mapping[str, str] = os.environ) -> str | None:
    """Choose the folder for large temporary files; None: that of all temporary files.

    Many systems keep ``/tmp`` in memory, where files count against a container's memory limit.
    ``/var/tmp`` is on a disk there. A folder that the user chose is kept.
    """
    if any(environ.get(name) for name in _NAMES):
        return None
    try:
        mounts = Path("/proc/self/mounts").read_text()
    except OSError:
        return None  # not Linux
    if not is_in_memory(tempfile.gettempdir(), mounts) or is_in_memory(_ON_DISK, mounts):
        return None
    return _ON_DISK if os.access(_ON_DISK, os.W_OK | os.X_OK) else None


def is_in_memory(folder: str, mounts: str) -> bool:
    """Tell whether a folder's file system is in memory.

    Args:
        folder: absolute.
        mounts: lines as in ``/proc/self/mounts``: device, mount point, type.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = words[1].replace("\\040", " ").rstrip("/")
        inside = folder == point or folder.startswith(f"{point}/")
        # Of two mounts at one point, the later hides the earlier.
        if inside and len(point) >= best:
            best, kind = len(point), words[2]
    return kind in _IN_MEMORY
