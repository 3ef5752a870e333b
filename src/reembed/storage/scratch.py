"""Where large temporary files go: on a disk, since files in memory count as memory.

Their folders go again with the process; those of a process that was killed, with the next one.
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
# A folder is locked right after it is made; a younger one may be between the two.
_YOUNG_SECONDS = 3600.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for large temporary files of this process, which goes at the end of the block.

    What killed processes left goes first: request files may be gigabytes, and hold the corpus.
    """
    parent = Path(scratch_parent() or tempfile.gettempdir())
    _remove_left(parent)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as name:
        held = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Where there are no locks, nobody can tell that a folder was left, and it stays.
            with suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(held)


def _remove_left(parent: Path) -> None:
    """Remove the folders whose process is gone: its lock went with it."""
    for folder in sorted(parent.glob(f"{_PREFIX}*")):
        with suppress(OSError):
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that nobody holds.

    Raises:
        OSError: it is held, another user's, gone meanwhile, or there are no locks.
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
    """The folder for large temporary files; None for the one of all temporary files.

    Many systems keep ``/tmp`` in memory, where files count against a memory limit and cannot be
    given back. ``/var/tmp`` is on a disk there. A folder that the user names is taken as it is.
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
    """Whether a folder's file system lies in memory.

    Args:
        folder: absolute.
        mounts: lines as in ``/proc/self/mounts``: device, place, type.
    """
    best, kind = -1, ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        place = words[1].replace("\\040", " ").rstrip("/")
        inside = folder == place or folder.startswith(f"{place}/")
        # Of two at one place, the later hides the earlier.
        if inside and len(place) >= best:
            best, kind = len(place), words[2]
    return kind in _IN_MEMORY
