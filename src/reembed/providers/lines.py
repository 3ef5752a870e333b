"""Cut an answer into lines, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# A line of 3,072 values is 39 KB, with all digits 77 KB. The parser's working memory is up to
# 14 times the longest line, which is why the cap is not larger.
MAX_LINE_BYTES: Final = 4 * 1024 * 1024


class LineSplitter:
    """Splitter of a stream into lines that are not blank; None stands for one over the cap.

    Memory is bounded by the cap and a piece: the rest of an over-long line is thrown away.

    Args:
        max_line_bytes: longest line that is passed on, newline included.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._cap = max_line_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes | None]:
        """Yield the lines that end in the next piece, which is any bytes of the stream."""
        start = 0
        # Copies each line once, and finds its end as fast as memory is read; `split` does neither.
        while (end := piece.find(b"\n", start) + 1) > 0:
            self._keep(piece[start:end])
            yield from self.end()
            start = end
        if start < len(piece):
            self._keep(piece[start:])

    def end(self) -> Iterator[bytes | None]:
        """Yield what is left as a line; of a stream that ended, its last."""
        over = self._size > self._cap
        line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if over:
            yield None
        elif line and not line.isspace():
            yield line

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._cap:
            self._parts.clear()
        else:
            self._parts.append(part)
