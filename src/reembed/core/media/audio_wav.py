"""RIFF WAV: write 16-bit PCM, and see whether a file's header tells the truth."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

HEADER_BYTES = 44
BYTES_PER_SAMPLE = 2
# Writers that cannot seek back leave 0, or a number near the largest, as the size of the data.
_STREAMING_FROM = 0x7FFF_F000


@dataclass(frozen=True, slots=True)
class WavData:
    """Where a WAV's samples lie: `declared` is the header's size, `present` what is there."""

    declared: int
    present: int

    @property
    def is_honest(self) -> bool:
        """Whether the header's size is exactly what is there."""
        return self.declared == self.present

    @property
    def is_cut_short(self) -> bool:
        """Whether samples are missing that the header counted; a streamed one counts none."""
        return self.present < self.declared < _STREAMING_FROM


def wav_bytes(samples: int, channels: int) -> int:
    """Count the bytes of a 16-bit WAV."""
    return HEADER_BYTES + samples * channels * BYTES_PER_SAMPLE


def wav_header(samples: int, rate: int, channels: int) -> bytes:
    """Give the 44 bytes before 16-bit PCM samples."""
    frame = channels * BYTES_PER_SAMPLE
    data = samples * frame
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", HEADER_BYTES - 8 + data, b"WAVE"),
        *(b"fmt ", 16, 1, channels, rate, rate * frame, frame, 8 * BYTES_PER_SAMPLE),
        *(b"data", data),
    )


def is_wav(source: BinaryIO) -> bool:
    """Say whether the file begins as a RIFF WAV (RF64, its large form, is not one)."""
    source.seek(0)
    head = source.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def find_wav_data(source: BinaryIO) -> WavData | None:
    """Find the data chunk of a RIFF WAV; None where the file is not one or has no such chunk."""
    end = source.seek(0, os.SEEK_END)
    if not is_wav(source):
        return None
    at = 12
    while at + 8 <= end:
        source.seek(at)
        name, size = struct.unpack("<4sI", source.read(8))
        if name == b"data":
            # What follows the samples (tags) belongs to no one when the size is a lie.
            present = min(size, end - at - 8) if 0 < size < _STREAMING_FROM else end - at - 8
            return WavData(size, present)
        at += 8 + size + size % 2
    return None
