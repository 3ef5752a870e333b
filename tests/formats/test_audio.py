import io
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.audio_cuts import SHORT, cut, rejects, sent
from formats.media_factory import (
    audio_file,
    cuts,
    mutations,
    reject_code,
    samples_of,
    tone,
    wav,
    wav_values,
    without,
)
from reembed.errors import RejectError
from reembed.formats.audio import cut_audio
from reembed.formats.av import chunk_seconds, cut_samples


@pytest.mark.parametrize(
    ("data", "mime"),
    [
        (wav(tone(32_000, 16_000, 2), 16_000), "audio/wav"),
        (audio_file("mp3", "libmp3lame", seconds=2), "audio/mpeg"),
        (audio_file("wav", "pcm_s24le", seconds=2), "audio/wav"),
        (audio_file("wav", "pcm_u8", seconds=2), "audio/wav"),
    ],
)
def test_what_the_model_takes_passes_as_it_is(data, mime):
    ((piece, written),) = sent(data)
    assert written == data
    assert (piece.modality, piece.mime_type, piece.recipe.operation) == ("audio", mime, "as_is")
    assert (piece.start, piece.end, piece.unit) == (0.0, 2.0, "second")
    assert piece.tokens == 52


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        *(("flac", "flac", 16_000), ("ogg", "libopus", 48_000), ("mp4", "aac", 16_000)),
        *(("mp4", "alac", 16_000), ("adts", "aac", 16_000), ("wav", "pcm_f32le", 16_000)),
        *(("wav", "adpcm_ms", 16_000), ("wav", "pcm_mulaw", 16_000), ("aiff", "pcm_s16be", 8_000)),
        *(("matroska", "libopus", 48_000), ("mpegts", "aac", 16_000), ("w64", "pcm_s16le", 16_000)),
    ],
)
def test_everything_else_becomes_sixteen_bit_wav_of_its_rate(container, codec, rate):
    ((piece, written),) = sent(audio_file(container, codec, rate, seconds=2))
    assert piece.mime_type == piece.recipe.mime_type == "audio/wav"
    found, values = wav_values(written)
    assert (found, values.shape[1]) == (rate, 1)
    assert len(values) / rate == pytest.approx(2, abs=0.15)
    assert piece.end == len(values) / rate
    with av.open(io.BytesIO(written)) as file:
        assert file.streams.audio[0].codec.name == "pcm_s16le"


@pytest.mark.parametrize(
    "data",
    [
        wav(tone(100_003, 16_000, 2), 16_000),
        audio_file("flac", "flac", 44_100, 3.3, 2),
        audio_file("mp4", "alac", 16_000, 3.3),
        audio_file("aiff", "pcm_s16be", 8_000, 3.3),
        audio_file("ogg", "flac", 22_050, 3.3),
    ],
)
def test_pieces_of_lossless_audio_are_its_very_samples(data):
    whole = samples_of(data)
    pieces = sent(data, audio=SHORT)
    seen = 0
    for number, (piece, written) in enumerate(pieces):
        rate, values = wav_values(written)
        start, end = round(piece.start * rate), round(piece.end * rate)
        assert start == round(Fraction(3, 4) * number * rate)
        assert np.array_equal(values, whole[start:end])
        assert end > seen >= start
        seen = end
    assert seen == len(whole)
    # Put together again without their overlaps they are the audio.
    parts = [wav_values(w)[1] for _, w in pieces]
    starts = [round(p.start * rate) for p, _ in pieces]
    kept = [v[: b - a] for v, a, b in zip(parts, starts, [*starts[1:], len(whole)], strict=True)]
    assert np.array_equal(np.concatenate(kept), whole)


def test_the_models_seconds_hold_above_the_configured():
    limits = {"audio": {"max_seconds": 1.0}}
    ends = [(p.start, p.end) for p in cut(wav(tone(40_000, 16_000), 16_000), limits=limits).pieces]
    assert ends[:2] == [(0.0, 1.0), (0.5, 1.5)]  # 5 s of overlap do not fit: half a piece
    assert ends[-1][1] == 2.5


def test_high_rates_come_down_and_many_channels_become_two():
    data = audio_file("flac", "flac", 96_000, 0.5, channels=6)
    ((piece, written),) = sent(data)
    rate, values = wav_values(written)
    assert (rate, values.shape) == (48_000, (24_000, 2))
    assert piece.end == 0.5


@pytest.mark.parametrize("channels", [3, 5, 16])
def test_channels_without_a_named_layout_are_mixed(channels):
    data = wav(tone(40_000, 16_000, channels), 16_000)
    assert all(wav_values(w)[1].shape[1] == 2 for _, w in sent(data, audio=SHORT))


def test_channels_that_nothing_mixes_are_refused_when_cutting():
    message = rejects(wav(tone(4_000, 16_000, 9), 16_000), "audio_unreadable")
    assert "mix it to stereo" in message


def test_audio_above_the_weight_becomes_mono_of_16_khz():
    data = wav(tone(44_100 * 2, 44_100, 2), 44_100)
    ((piece, written),) = sent(data, max_media_bytes=70_000)
    rate, values = wav_values(written)
    assert (rate, values.shape[1], piece.end) == (16_000, 1, 2.0)
    assert len(values) == 32_000


def test_audio_that_cannot_be_made_small_enough_is_refused():
    message = rejects(wav(tone(32_000, 16_000), 16_000), "media_too_large", max_media_bytes=20_000)
    assert "lower chunking.audio.max_seconds" in message


def test_a_model_that_takes_no_wav_gets_no_conversion():
    limits = {"audio": {"mime_types": ["audio/mpeg"]}}
    assert "audio/mpeg" in rejects(
        audio_file("flac", "flac"), "audio_type_not_taken", limits=limits
    )


def test_a_type_that_the_table_lists_passes_as_it_is():
    limits = {"audio": {"mime_types": ["audio/flac", "audio/wav"]}}
    (piece,) = cut(audio_file("flac", "flac"), limits=limits).pieces
    assert (piece.recipe.operation, piece.mime_type) == ("as_is", "audio/flac")


def test_a_playlist_is_not_followed():
    listed = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    rejects(listed, "audio_unreadable")


def test_a_model_without_audio_says_so():
    with pytest.raises(RejectError) as caught:
        cut_audio(io.BytesIO(wav(tone(10, 8000), 8000)), without("audio"))
    assert caught.value.code == "modality_unsupported"


KINDS = [
    *(("wav", "pcm_s16le"), ("wav", "adpcm_ms"), ("mp3", "libmp3lame"), ("flac", "flac")),
    *(("ogg", "flac"), ("mp4", "aac"), ("adts", "aac"), ("matroska", "flac"), ("mpegts", "aac")),
    *(("aiff", "pcm_s16be"), ("mp4", "alac")),
]


@pytest.mark.parametrize(("container", "codec"), KINDS)
def test_damaged_audio_files_are_rejects_or_renderable(container, codec, capfd):
    data = audio_file(container, codec, 16_000, 1.5)
    for damaged in (*cuts(data), *mutations(data, 20)):
        code = reject_code(lambda damaged=damaged: sent(damaged, audio=SHORT))
        assert code is None or code.startswith(("audio_", "media_"))
    assert capfd.readouterr().err == ""


@given(
    st.integers(1, 10**7),
    st.integers(1_000, 48_000),
    st.floats(0.1, 300, allow_nan=False),
    st.floats(0, 0.99),
)
def test_spans_cover_all_and_none_lies_inside_the_one_before(samples, rate, size, share):
    longest, step = chunk_seconds(size, 180.0, size * share)
    spans = []
    for span in cut_samples(samples, rate, longest, step):
        spans.append(span)
        if len(spans) > 500:
            return
    assert spans[0][0] == 0
    assert spans[-1][1] == samples
    for number, (start, end) in enumerate(spans):
        assert 0 < end - start <= max(1, longest * rate)
        if step * rate >= 1 and (longest - step) * rate >= 2:
            assert abs(start - number * step * rate) <= 1
    for (_, before), (start, end) in pairwise(spans):
        assert start <= before < end
