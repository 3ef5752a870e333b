"""Cut what FFmpeg reads: its streams, not its name, decide whether it is a film or a sound."""

from __future__ import annotations

from typing import BinaryIO

from reembed.core.media.audio import cut_audio
from reembed.core.media.av_open import film_stream, open_av
from reembed.core.media.video import cut_video
from reembed.core.policy import ChunkPolicy
from reembed.types import Pieces


def cut_av(source: BinaryIO, mime_type: str, policy: ChunkPolicy) -> Pieces:
    """Cut a film or a sound; a cover picture does not make a film of a sound.

    Args:
        source: the file's bytes, seekable.
        mime_type: what the type was recognised as; names the kind where the file cannot be read.
        policy: limits.

    Raises:
        RejectError: the codes of `cut_video` and `cut_audio`.
    """
    expected = "video" if mime_type.startswith("video/") else "audio"
    with open_av(source, expected) as opened:
        cut = cut_audio if film_stream(opened) is None else cut_video
        return cut(source, policy, opened)
