"""Run a block as a user whom permissions bind, since they do not bind root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def bound_by_permissions(folder: Path) -> Iterator[None]:
    """Give up root's rights within the block; `folder` and the test folders above let all in."""
    if os.geteuid() != 0:
        mode = folder.stat().st_mode
        folder.parent.chmod(0o555)
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.parent.chmod(0o755)
            folder.chmod(mode)
        return
    opened = [each for each in (folder, *folder.parents) if each.stat().st_mode & 0o011 != 0o011]
    modes = [(each, each.stat().st_mode) for each in opened]
    for each, mode in modes:
        each.chmod(mode | 0o011)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        for each, mode in modes:
            each.chmod(mode)
