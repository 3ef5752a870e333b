"""Write an answer to a local file: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from reembed.errors import StorageError

_WRITE_BUFFER = 1 << 20


class FileReceiver:
    """Open file that receives an answer."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, piece: bytes, /) -> None:
        """Write the next bytes."""
        self._file.write(piece)

    def rewind(self) -> None:
        """Empty the file."""
        self._file.seek(0)
        self._file.truncate()


@contextlib.contextmanager
def whole_or_nothing(path: Path) -> Iterator[FileReceiver]:
    """Lend a temporary file beside `path`; rename it at the end, remove it on an error.

    Raises:
        StorageError: the file cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("w+b", buffering=_WRITE_BUFFER) as file:
            yield FileReceiver(file)
        os.replace(temporary, path)
    except OSError as err:
        raise StorageError(f"{path} cannot be written: {err.strerror or err}") from err
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
