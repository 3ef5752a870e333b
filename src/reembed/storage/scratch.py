"""Where large temporary files go: on a disk, since files in memory count as memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

_ON_DISK = "/var/tmp"
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_NAMES = ("TMPDIR", "TEMP", "TMP")


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
