import io

import pytest

from formats.media_factory import audio_file, policy, reject_code, video_file
from reembed.errors import StorageError
from reembed.formats.av import audio_stream, open_av, packets, video_stream
from reembed.formats.video import cut_av


def modalities(data, mime="video/mp4"):
    return {piece.modality for piece in cut_av(io.BytesIO(data), mime, policy()).pieces}


@pytest.mark.parametrize("mime", ["video/mp4", "audio/mp4", "application/octet-stream"])
def test_the_streams_decide_not_the_name(mime):
    assert modalities(video_file(frames=20), mime) == {"video"}
    assert modalities(audio_file("mp4", "aac"), mime) == {"audio"}


@pytest.mark.parametrize(
    ("container", "codec"), [("mp3", "libmp3lame"), ("mp4", "aac"), ("flac", "flac")]
)
def test_a_cover_image_does_not_make_a_video(container, codec):
    data = audio_file(container, codec, 44_100, 2.0, cover=True)
    with open_av(io.BytesIO(data), "audio") as opened:
        assert len(opened.streams.video) == 1
        assert video_stream(opened) is None
    found = cut_av(io.BytesIO(data), "audio/mpeg", policy())
    assert [p.modality for p in found.pieces] == ["audio"]
    assert found.pieces[0].end == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("mime", "code"), [("video/mp4", "video_unreadable"), ("audio/mpeg", "audio_unreadable")]
)
def test_what_cannot_be_opened_is_named_after_its_type(mime, code):
    assert reject_code(lambda: cut_av(io.BytesIO(b"nothing" * 50), mime, policy())) == code


def test_a_playlist_does_not_open_the_files_it_names(tmp_path):
    named = tmp_path / "video.ts"
    named.write_bytes(video_file("mpegts", frames=20))
    assert modalities(named.read_bytes()) == {"video"}
    begun = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n"
    for listed in (f"{begun}{named.as_uri()}\n", f"ffconcat version 1.0\nfile '{named}'\n"):
        code = reject_code(lambda listed=listed: modalities(listed.encode()))
        assert code == "video_unreadable"


def test_only_the_wanted_stream_is_read():
    with open_av(io.BytesIO(video_file(frames=20, with_sound=True)), "video") as opened:
        stream = video_stream(opened)
        assert audio_stream(opened) is not None
        assert {p.stream.index for p in packets(opened, stream)} == {stream.index}


class _Failing(io.BytesIO):
    """A remote reader whose connection is lost after some reads."""

    def __init__(self, data, reads):
        super().__init__(data)
        self.left = reads

    def read(self, size=-1):
        self.left -= 1
        if self.left < 0:
            raise StorageError("connection lost")
        return super().read(size)


@pytest.mark.parametrize("reads", [0, 1, 8])
def test_a_lost_connection_is_not_the_files_fault(reads):
    data = video_file("mpegts", frames=400, crf="1", every=1)
    with pytest.raises(StorageError, match="connection lost"):
        cut_av(_Failing(data, reads), "video/mp4", policy())


class _Counting(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size=-1):
        data = super().read(size)
        self.taken += len(data)
        return data


def test_an_audio_file_is_opened_and_read_once():
    source = _Counting(audio_file("wav", "pcm_s16le", 48_000, 4.0))
    found = cut_av(source, "audio/wav", policy())
    assert found.pieces[0].end == 4.0
    assert source.taken < 1.5 * len(source.getvalue())


def test_what_is_found_after_opening_is_named_after_the_streams():
    data = video_file(frames=40, muxing={"moov_size": "20000"})[:-500]
    assert reject_code(lambda: cut_av(io.BytesIO(data), "audio/mp4", policy())) == "video_truncated"
