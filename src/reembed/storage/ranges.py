"""Seekable file over a function that fetches ranges of bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, Final, cast

from reembed.errors import StorageError

# Few requests for a video that is read through, little waste where a reader seeks.
CHUNK: Final = 4 << 20


def open_ranges(fetch: Callable[[int, int], bytes], size: int, chunk: int = CHUNK) -> BinaryIO:
    """Open bytes for reading, fetching at least `chunk` bytes at a time.

    Args:
        fetch: returns the bytes from start to end (half-open); never asked past `size`.
        size: how many bytes there are.
        chunk: the least to fetch, in bytes, and so the size of the buffer.
    """
    return cast(BinaryIO, io.BufferedReader(_Ranges(fetch, size), chunk))


class _Ranges(io.RawIOBase):
    """Unbuffered side: each read is one fetch."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._fetch, self._size, self._at = fetch, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        # The inherited method reads 8 KiB at a time: a request each.
        return self._next(self._size)

    def _next(self, count: int) -> bytes:
        end = min(self._at + count, self._size)
        if end <= self._at:
            return b""
        data = self._fetch(self._at, end)
        if len(data) != end - self._at:
            raise StorageError(f"asked for bytes {self._at}–{end}, got {len(data)}; read it again")
        self._at = end
        return data
