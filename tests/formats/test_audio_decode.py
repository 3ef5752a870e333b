"""Samples as they decode: streamed, damaged and truncated audio, and pieces that are sought."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from formats.audio_cuts import SHORT, cut, rejects, sent
from formats.media_factory import (
    audio_file,
    policy,
    reject_code,
    tone,
    wav,
    wav_values,
)
from reembed.errors import RejectError
from reembed.formats.audio_decode import find_wav_data
from reembed.formats.render import render


@pytest.mark.parametrize(
    ("container", "codec", "jump"),
    [
        *(("wav", "pcm_s16le", "seek"), ("flac", "flac", "seek"), ("mp4", "alac", "seek")),
        *(("mp3", "libmp3lame", "read"), ("mp4", "aac", "decode"), ("ogg", "flac", "decode")),
    ],
)
def test_reaching_a_late_piece_quickly_gives_the_same_samples(container, codec, jump):
    data = audio_file(container, codec, 16_000, 6.0)
    for piece, written in sent(data, audio=SHORT):
        options = dict(piece.recipe.options)
        assert options["jump"] == jump
        slow = replace(piece.recipe, options=tuple(sorted({**options, "jump": "decode"}.items())))
        assert render(slow, io.BytesIO(data), policy()) == written


def test_a_seek_that_the_container_does_not_bear_falls_back_to_decoding():
    data = audio_file("ogg", "flac", 16_000, 3.0)
    piece = cut(data, audio=SHORT).pieces[2]
    options = {**dict(piece.recipe.options), "jump": "seek", "first_pts": "999999999"}
    guessed = replace(piece.recipe, options=tuple(sorted(options.items())))
    assert render(guessed, io.BytesIO(data), policy()) == render(
        piece.recipe, io.BytesIO(data), policy()
    )


@pytest.mark.parametrize("declared", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_streamed_wav_is_read_to_its_end_and_gets_an_honest_header(declared):
    values = tone(20_000, 16_000)
    data = wav(values, 16_000, declared)
    ((piece, written),) = sent(data)
    assert piece.recipe.operation == "audio"
    assert np.array_equal(wav_values(written)[1], values)
    assert find_wav_data(io.BytesIO(written)).is_exact


@pytest.mark.parametrize("keep", [44, 36, 20])
def test_a_wav_of_only_a_header_has_no_samples(keep):
    assert "record or copy it again" in rejects(
        wav(tone(100, 8000), 8000)[:keep], "audio_no_samples"
    )


def test_half_a_wav_is_truncated_and_says_what_is_missing():
    data = wav(tone(16_000, 16_000), 16_000)
    message = rejects(data[: len(data) // 2], "audio_truncated")
    assert "counts 32000 bytes of samples, 15978 are there" in message


@pytest.mark.parametrize(
    ("container", "codec"), [("flac", "flac"), ("matroska", "flac"), ("aiff", "pcm_s16be")]
)
def test_less_audio_than_the_header_counts_is_truncated(container, codec):
    data = audio_file(container, codec, 16_000, 8.0)
    assert "get the whole file again" in rejects(data[: len(data) // 2], "audio_truncated")


def test_half_an_m4a_is_unreadable():
    data = audio_file("mp4", "aac", 16_000, 4.0)
    assert "cut short or damaged" in rejects(data[: len(data) // 2], "audio_unreadable")


def test_an_mp3_is_as_long_as_what_decodes_not_as_its_header_says():
    data = audio_file("mp3", "libmp3lame", 16_000, 8.0)
    (piece,) = cut(data[: len(data) // 2]).pieces
    assert piece.end == pytest.approx(4.0, abs=0.3)
    lying = bytearray(data)
    at = data.index(b"Info")
    lying[at + 8 : at + 12] = (1_000_000).to_bytes(4, "big")
    (piece,) = cut(bytes(lying)).pieces
    assert piece.end == pytest.approx(8.0, abs=0.1)


def test_audio_with_many_damaged_packets_is_refused():
    data = bytearray(audio_file("adts", "aac", 16_000, 4.0))
    for at in range(200, len(data), 150):
        data[at] ^= 0xFF
    assert reject_code(lambda: cut(bytes(data))) in ("audio_damaged", "audio_unreadable")


def test_audio_joined_in_one_file_keep_the_clock_of_the_first():
    joined = audio_file("ogg", "flac", 16_000, 1.0) + audio_file(
        "ogg", "flac", 16_000, 1.0, channels=2
    )
    ((piece, written),) = sent(joined)
    rate, values = wav_values(written)
    assert rate == 16_000
    assert values.shape[1] == 1
    assert piece.end == len(values) / rate


def test_an_implausible_rate_is_a_damaged_header():
    data = bytearray(wav(tone(1_000, 8_000), 8_000))
    data[24:28] = (3).to_bytes(4, "little")
    assert "3 Hz" in rejects(bytes(data), "audio_unreadable")


def test_samples_that_are_gone_since_the_plan_are_a_reject():
    data = audio_file("flac", "flac", 16_000, 4.0)
    last = cut(data, audio=SHORT).pieces[-1]
    shorter = audio_file("flac", "flac", 16_000, 2.0)
    with pytest.raises(RejectError, match="plan again") as caught:
        render(last.recipe, io.BytesIO(shorter), policy())
    assert caught.value.code == "media_changed"
