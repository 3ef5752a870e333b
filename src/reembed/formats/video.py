"""Cut video: whole where the model takes it, by copying packets, or by encoding anew."""

from __future__ import annotations

import io
import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from reembed.config.models import VideoLimits
from reembed.errors import RejectError
from reembed.formats.audio import cut_audio, cut_audio_part
from reembed.formats.audio_decode import measure_audio
from reembed.formats.av import (
    chunk_seconds,
    open_av,
    packets,
    seek_before,
    unreadable,
    video_stream,
)
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import format_named
from reembed.formats.video_encode import Part, Shape, choose_encoder, choose_size, encode_video
from reembed.formats.video_index import Video, index_video
from reembed.types import Piece, Pieces, Recipe


def key_spans(
    keys: Sequence[int], end: int, size: int, overlap: int
) -> list[tuple[int, int]] | None:
    """Cut at key frames; None where they are too sparse for chunks of `size`.

    Each chunk reaches to the last key frame within `size`. The next begins at the last key frame
    that leaves at least `overlap`; where none of those gets beyond the chunk before it, at the
    first later one that does, so that the overlap is as large as the key frames allow.

    Args:
        keys: times of the key frames, ascending.
        end: when the video ends.
        size: the longest chunk, in the same units.
        overlap: the wished overlap.

    Returns:
        Ranges of indices into `keys`, half-open; the last ends at ``len(keys)``: the video's end.
    """
    times = [*keys, end]
    last = len(keys)

    def reach(start: int) -> int:
        return bisect_right(times, times[start] + size, lo=start) - 1

    spans: list[tuple[int, int]] = []
    start = 0
    while True:
        stop = reach(start)
        if stop <= start:
            return None
        spans.append((start, stop))
        if stop == last:
            return spans
        following = bisect_right(times, times[stop] - overlap, hi=stop + 1) - 1
        start = max(following, start + 1)
        while start <= stop and reach(start) <= stop:
            start += 1
        if start > stop:
            return None


def time_spans(end: Fraction, size: Fraction, step: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Cut at multiples of `step`, in seconds; the last chunk ends with the video."""
    spans: list[tuple[Fraction, Fraction]] = []
    start = Fraction(0)
    while not spans or spans[-1][1] < end:
        spans.append((start, min(start + size, end)))
        start += step
    return spans


def copy_video(source: BinaryIO, start: int, until: int | None) -> bytes:
    """Copy from the key frame shown at `start` to before the one shown at `until`.

    Times are in units of the stream's time base, None is the video's end; in the copy the key
    frame is shown at 0. The audio is left out.

    Raises:
        RejectError: ``video_unreadable``, or ``media_changed`` where the key frames are not
            there.
    """
    # A seek may land behind the key frame, or not work at all; then reading from the start decides.
    for near in (True, False):
        with open_av(source, "video") as opened:
            stream = video_stream(opened)
            if stream is None or stream.codec_context is None:
                raise unreadable("video", "no video stream")
            if near and not seek_before(opened, stream, start):
                continue
            taken = _take(packets(opened, stream), start, until)
            if taken:
                return _mux(stream, taken)
    raise RejectError(
        "media_changed",
        "the key frames that were planned as the ends of this piece are no longer in the video; "
        "plan again",
    )


def _take(stored: Iterator[Any], start: int, until: int | None) -> list[Any]:
    """Collect the packets between two key frames; empty where one of them was not met.

    Frames that follow the first key frame in the file but are shown before it need what came
    before, and are left out.
    """
    taken: list[Any] = []
    for packet in stored:
        if packet.is_keyframe and packet.pts == until and taken:
            return taken
        if taken or (packet.is_keyframe and packet.pts == start):
            if packet.pts is None:
                return []
            if packet.pts >= start:
                taken.append(packet)
        elif packet.is_keyframe and packet.pts is not None and packet.pts > start:
            return []
    return taken if until is None else []


def _mux(template: Any, taken: list[Any]) -> bytes:
    out = io.BytesIO()
    # Without bitexact the muxer writes its own version into the file: other bytes elsewhere.
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as written:
        stream = written.add_stream_from_template(template, opaque=True)
        origin = taken[0].pts
        for packet, (pts, dts) in zip(taken, _times(taken), strict=True):
            packet.pts, packet.dts = pts - origin, dts - origin
            packet.stream = stream
            written.mux(packet)
    return out.getvalue()


def _times(taken: list[Any]) -> list[tuple[int, int]]:
    """Give each packet's time of showing and of decoding.

    Containers differ in the decoding times that they give, above all after a seek. In file order
    these are the sorted times of showing, moved back until none is after its own showing.
    """
    shown = [packet.pts for packet in taken]
    ordered = sorted(shown)
    late = max(time - own for time, own in zip(ordered, shown, strict=True))
    return [(own, time - late) for time, own in zip(ordered, shown, strict=True)]


MP4 = format_named("mp4").mime_type
QUICKTIME = format_named("mov").mime_type
# An MP4's index needs at most so many bytes a packet (stts, ctts, stsz, stss, stsc, co64); one
# percent is for parts of a frame whose separators grow when they come from a transport stream.
_INDEX_BYTES = 64
_HEADER_BYTES = 8192
_GROWTH = 0.01


def cut_video(source: BinaryIO, policy: ChunkPolicy, opened: Any | None = None) -> Pieces:
    """Cut a video; start and end are seconds of the real cut, since the first frame.

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
        raise RejectError("modality_unsupported", f"{policy.spec.name} takes no videos")
    video = index_video(source, opened)
    size = source.seek(0, os.SEEK_END)
    # The cheapest way that keeps the limits: the file itself, copied packets, encoded frames.
    pieces = _whole(video, size, policy, limits) or _copied(video, policy, limits)
    pieces = pieces or _encoded(video, policy, limits)
    if not video.has_audio or policy.spec.audio is None:
        return Pieces(pieces)
    if policy.chunking.video.soundtrack == "drop":
        return Pieces(pieces, notes=("video_with_sound",))
    return _with_soundtrack(pieces, video, source, policy)


def _whole(
    video: Video, size: int, policy: ChunkPolicy, limits: VideoLimits
) -> tuple[Piece, ...] | None:
    mime = _mime(video)
    longest = min(policy.chunking.video.max_seconds, limits.max_seconds)
    fits = video.seconds <= longest and size <= policy.max_media_bytes
    if not (fits and mime in limits.mime_types and video.codec in limits.codecs):
        return None
    return (_piece(limits, Recipe("as_is", mime), (0.0, video.seconds), size),)


def _mime(video: Video) -> str:
    if not video.container.startswith("mov") or video.brand.startswith("3g"):
        return ""
    # QuickTime files from before brands have none.
    return QUICKTIME if video.brand.strip() in ("qt", "") else MP4


def _copied(video: Video, policy: ChunkPolicy, limits: VideoLimits) -> tuple[Piece, ...] | None:
    """Cut on key frames; None where that cannot keep the limits."""
    if not video.timed or video.codec not in limits.codecs or MP4 not in limits.mime_types:
        return None
    size, step = _sizes(policy, limits)
    units = 1 / video.time_base
    times = [int(video.pts[row]) for row in video.keys]
    spans = key_spans(times, video.end, int(size * units), math.ceil((size - step) * units))
    if spans is None:
        return None
    pieces = tuple(_copied_piece(video, span, limits) for span in spans)
    return pieces if all(p.input_bytes <= policy.max_media_bytes for p in pieces) else None


def _copied_piece(video: Video, span: tuple[int, int], limits: VideoLimits) -> Piece:
    first, stop = span
    begin = int(video.keys[first])
    is_last = stop == len(video.keys)
    until = len(video.pts) if is_last else int(video.keys[stop])
    # An upper bound: the copy is made when the shard is submitted, and must not outgrow the job.
    sizes = video.sizes[begin:until]
    weight = int(sizes.sum() * (1 + _GROWTH)) + _INDEX_BYTES * len(sizes)
    weight += _HEADER_BYTES + 2 * video.header_bytes
    start_time = int(video.pts[begin])
    end_time = video.end if is_last else _end_before(video, stop)
    options = {"from": str(start_time), "mode": "copy"}
    if not is_last:
        options["until"] = str(int(video.pts[until]))
    seconds = (max(0.0, video.at(start_time)), video.at(end_time))
    recipe = Recipe("video", MP4, *seconds, options=tuple(sorted(options.items())))
    return _piece(limits, recipe, seconds, weight)


def _end_before(video: Video, key: int) -> int:
    """Find when a chunk ends that stops before a key frame.

    Frames that stand after the key frame in the file and are shown before it (an open group of
    pictures) need it, and are not in the chunk.
    """
    row = int(video.keys[key])
    following = int(video.keys[key + 1]) if key + 1 < len(video.keys) else len(video.pts)
    return int(np.min(video.pts[row:following]))


def _encoded(video: Video, policy: ChunkPolicy, limits: VideoLimits) -> tuple[Piece, ...]:
    encoder = choose_encoder(limits.codecs)
    if encoder is None or MP4 not in limits.mime_types:
        raise RejectError(
            "video_type_not_taken",
            f"the video ({video.codec}) must be encoded anew, and the model takes only "
            f"{', '.join(limits.mime_types)} with {', '.join(limits.codecs)}, for which there is "
            "no encoder here; convert it",
        )
    size, step = _sizes(policy, limits)
    spans = time_spans(Fraction(video.end - video.origin) * video.time_base, size, step)
    # One shape for all pieces of a file, chosen by the longest.
    longest = max(end - start for start, end in spans)
    shape = choose_size((video.width, video.height), float(longest), policy.max_media_bytes)
    pieces = []
    for start, end in spans:
        options = {
            "encoder": encoder,
            "from": str(start),
            "mode": "encode",
            "most": str(shape.most_bytes(float(end - start))),
            "origin": str(video.origin),
            "rate": str(shape.rate),
            "seek": "1" if video.seekable else "0",
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


def _with_soundtrack(
    pieces: tuple[Piece, ...], video: Video, source: BinaryIO, policy: ChunkPolicy
) -> Pieces:
    """Add the pieces of the soundtrack; one that cannot be read is a warning, the video stays."""
    try:
        audio = measure_audio(source)
        late = audio.starts - float(video.origin * video.time_base)
        return Pieces((*pieces, *cut_audio_part(audio, policy, max(0.0, late))))
    except RejectError as err:
        return Pieces(pieces, warnings=(f"soundtrack_left_out: {err}",))


def render_video(recipe: Recipe, source: BinaryIO) -> bytes:
    """Copy or encode the piece, by its recipe's ``mode``.

    Raises:
        RejectError: ``video_unreadable``, ``media_changed``, ``media_too_large``.
    """
    options = dict(recipe.options)
    if options["mode"] == "copy":
        until = int(options["until"]) if "until" in options else None
        return copy_video(source, int(options["from"]), until)
    part = Part(
        start=Fraction(options["from"]),
        end=Fraction(options["until"]),
        origin=int(options["origin"]),
        encoder=options["encoder"],
        shape=Shape(int(options["side"]), int(options["rate"])),
        most_bytes=int(options["most"]),
        seek=options["seek"] == "1" and options["from"] != "0",
    )
    return encode_video(source, part)


def cut_av(source: BinaryIO, mime_type: str, policy: ChunkPolicy) -> Pieces:
    """Cut a file that holds video or audio; a cover image does not make a video of audio.

    Args:
        source: the file's bytes, seekable.
        mime_type: what the type was recognised as; names the kind where the file cannot be read.
        policy: limits.

    Raises:
        RejectError: the codes of `cut_video` and `cut_audio`.
    """
    expected = "video" if mime_type.startswith("video/") else "audio"
    with open_av(source, expected) as opened:
        cut = cut_audio if video_stream(opened) is None else cut_video
        return cut(source, policy, opened)
