"""Cut films: whole where the model takes them, by copying packets, or by encoding anew."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from reembed.config.models import VideoLimits
from reembed.core.media.audio import cut_sound
from reembed.core.media.audio_measure import measure_sound
from reembed.core.media.av_spans import chunk_seconds
from reembed.core.media.video_encode import choose_encoder, choose_size
from reembed.core.media.video_index import Film, index_film
from reembed.core.media.video_spans import key_spans, time_spans
from reembed.core.policy import ChunkPolicy
from reembed.errors import RejectError
from reembed.types import Piece, Pieces, Recipe

MP4 = "video/mp4"
QUICKTIME = "video/quicktime"
# An MP4's index needs at most so many bytes a packet (stts, ctts, stsz, stss, stsc, co64); one
# percent is for parts of a frame whose separators grow when they come from a transport stream.
_INDEX_BYTES = 64
_HEADER_BYTES = 8192
_GROWTH = 0.01


def cut_video(source: BinaryIO, policy: ChunkPolicy, opened: Any | None = None) -> Pieces:
    """Cut a film; start and end are seconds of the real cut, since the first frame.

    Args:
        source: the file's bytes, seekable.
        policy: limits.
        opened: its container where the caller has it open, see `open_av`.

    Raises:
        RejectError: ``video_unreadable``, ``video_truncated``, ``video_no_frames``,
            ``video_codec_unknown``, ``video_too_many_pixels``, ``video_times_broken``,
            ``video_type_not_taken``, ``media_too_large``.
    """
    limits = policy.spec.video
    if limits is None:
        raise RejectError("modality_unsupported", f"{policy.spec.name} takes no films")
    film = index_film(source, opened)
    size = source.seek(0, os.SEEK_END)
    pieces = _whole(film, size, policy, limits) or _copied(film, policy, limits)
    pieces = pieces or _encoded(film, policy, limits)
    if not film.has_sound or policy.spec.audio is None:
        return Pieces(pieces)
    if policy.chunking.video.soundtrack == "drop":
        return Pieces(pieces, notes=("video_with_sound",))
    return _with_sound(pieces, film, source, policy)


def _whole(
    film: Film, size: int, policy: ChunkPolicy, limits: VideoLimits
) -> tuple[Piece, ...] | None:
    mime = _mime(film)
    longest = min(policy.chunking.video.max_seconds, limits.max_seconds)
    fits = film.seconds <= longest and size <= policy.max_media_bytes
    if not (fits and mime in limits.mime_types and film.codec in limits.codecs):
        return None
    return (_piece(limits, Recipe("as_is", mime), (0.0, film.seconds), size),)


def _mime(film: Film) -> str:
    if not film.container.startswith("mov") or film.brand.startswith("3g"):
        return ""
    # QuickTime files from before brands have none.
    return QUICKTIME if film.brand.strip() in ("qt", "") else MP4


def _copied(film: Film, policy: ChunkPolicy, limits: VideoLimits) -> tuple[Piece, ...] | None:
    """Cut on key frames; None where that cannot keep the limits."""
    if not film.timed or film.codec not in limits.codecs or MP4 not in limits.mime_types:
        return None
    size, step = _sizes(policy, limits)
    units = 1 / film.time_base
    times = [int(film.pts[row]) for row in film.keys]
    spans = key_spans(times, film.end, int(size * units), math.ceil((size - step) * units))
    if spans is None:
        return None
    pieces = tuple(_copied_piece(film, span, limits) for span in spans)
    return pieces if all(p.input_bytes <= policy.max_media_bytes for p in pieces) else None


def _copied_piece(film: Film, span: tuple[int, int], limits: VideoLimits) -> Piece:
    first, stop = span
    begin = int(film.keys[first])
    is_last = stop == len(film.keys)
    until = len(film.pts) if is_last else int(film.keys[stop])
    sizes = film.sizes[begin:until]
    weight = int(sizes.sum() * (1 + _GROWTH)) + _INDEX_BYTES * len(sizes)
    weight += _HEADER_BYTES + 2 * film.header_bytes
    start_time = int(film.pts[begin])
    end_time = film.end if is_last else _end_before(film, stop)
    options = {"from": str(start_time), "mode": "copy"}
    if not is_last:
        options["until"] = str(int(film.pts[until]))
    seconds = (max(0.0, film.at(start_time)), film.at(end_time))
    recipe = Recipe("video", MP4, *seconds, options=tuple(sorted(options.items())))
    return _piece(limits, recipe, seconds, weight)


def _end_before(film: Film, key: int) -> int:
    """When a chunk ends that stops before a key frame.

    Frames that stand after the key frame in the file and are shown before it (an open group of
    pictures) need it, and are not in the chunk.
    """
    row = int(film.keys[key])
    following = int(film.keys[key + 1]) if key + 1 < len(film.keys) else len(film.pts)
    return int(np.min(film.pts[row:following]))


def _encoded(film: Film, policy: ChunkPolicy, limits: VideoLimits) -> tuple[Piece, ...]:
    encoder = choose_encoder(limits.codecs)
    if encoder is None or MP4 not in limits.mime_types:
        raise RejectError(
            "video_type_not_taken",
            f"the film ({film.codec}) must be encoded anew, and the model takes only "
            f"{', '.join(limits.mime_types)} with {', '.join(limits.codecs)}, for which there is "
            "no encoder here; convert it",
        )
    size, step = _sizes(policy, limits)
    spans = time_spans(Fraction(film.end - film.origin) * film.time_base, size, step)
    longest = max(end - start for start, end in spans)
    shape = choose_size((film.width, film.height), float(longest), policy.max_media_bytes)
    pieces = []
    for start, end in spans:
        options = {
            "encoder": encoder,
            "from": str(start),
            "mode": "encode",
            "most": str(shape.most_bytes(float(end - start))),
            "origin": str(film.origin),
            "rate": str(shape.rate),
            "seek": "1" if film.seekable else "0",
            "side": str(shape.side),
            "until": str(end),
        }
        seconds = (float(start), float(end))
        recipe = Recipe("video", MP4, *seconds, options=tuple(sorted(options.items())))
        pieces.append(_piece(limits, recipe, seconds, int(options["most"])))
    return tuple(pieces)


def _sizes(policy: ChunkPolicy, limits: VideoLimits) -> tuple[Fraction, Fraction]:
    wanted = policy.chunking.video
    return chunk_seconds(wanted.max_seconds, limits.max_seconds, wanted.overlap_seconds)


def _piece(limits: VideoLimits, recipe: Recipe, seconds: tuple[float, float], weight: int) -> Piece:
    start, end = seconds
    frames = min(limits.max_frames, max(1, math.ceil(round(end - start, 6))))
    tokens = frames * limits.tokens_per_frame
    return Piece("video", recipe.mime_type, tokens, weight, start, end, "second", recipe=recipe)


def _with_sound(
    pieces: tuple[Piece, ...], film: Film, source: BinaryIO, policy: ChunkPolicy
) -> Pieces:
    """Add the pieces of the sound track; one that cannot be read is a warning, the film stays."""
    try:
        sound = measure_sound(source)
        late = sound.starts - float(film.origin * film.time_base)
        return Pieces((*pieces, *cut_sound(sound, policy, max(0.0, late))))
    except RejectError as err:
        return Pieces(pieces, warnings=(f"soundtrack_left_out: {err}",))
