"""The media of the demo corpus open with their libraries; the broken files are broken as named."""

import io
import wave
import zipfile
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pikepdf
import pytest
from PIL import Image, ImageOps, UnidentifiedImageError

ORIENTATION_TAG = 0x0112
HEARD_AT_ONCE = 180
SEEN_AT_ONCE = 120
PAGES_AT_ONCE = 6
CONTAINERS = {".mp3": "mp3", ".wav": "wav", ".flac": "flac", ".ogg": "ogg", ".m4a": "mov,mp4"}


def samples(path):
    """Return (samples as float64 between -1 and 1, rate, name of the container)."""
    with av.open(path) as file:
        resampler = av.AudioResampler("s16", "mono")
        blocks = [
            part.to_ndarray()[0]
            for frame in file.decode(audio=0)
            for part in resampler.resample(frame)
        ]
        return np.concatenate(blocks) / 32768, file.streams.audio[0].rate, file.format.name


def film_facts(path):
    """Return (seconds, codec, times of the key frames, whether it sounds)."""
    with av.open(path) as file:
        stream = file.streams.video[0]
        frames = [(frame.time, frame.key_frame) for frame in file.decode(video=0)]
        seconds = frames[-1][0] + 1 / float(stream.average_rate)
        keys = [time for time, key in frames if key]
        return seconds, stream.codec_context.name, keys, bool(file.streams.audio)


def test_every_picture_opens_and_is_not_one_flat_colour(corpus):
    formats = {}
    for path in sorted(corpus.glob("pictures/*")):
        with Image.open(path) as picture:
            picture.load()
            formats[path.name] = picture.format
            upright = ImageOps.exif_transpose(picture).convert("RGB")
            assert upright.size == (480, 320)
            assert np.asarray(upright).std() > 10
    assert set(formats.values()) == {"PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"}
    assert formats["sunset, a JPEG called.png"] == "JPEG"


def test_one_picture_lies_on_its_side(corpus):
    with Image.open(corpus / "pictures" / "mountains-turned.jpg") as picture:
        assert picture.size == (320, 480)
        assert picture.getexif()[ORIENTATION_TAG] == 6
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("L"), float)
    # The sky is brighter than the near hills, so the top must be the bright end.
    assert upright[:40].mean() > upright[-40:].mean() + 50


def test_every_sound_can_be_heard_and_none_is_clipped(corpus):
    seconds = {}
    for path in sorted(corpus.glob("sounds/*")):
        sound, rate, container = samples(path)
        seconds[path.name] = len(sound) / rate
        assert container.startswith(CONTAINERS[path.suffix])
        assert 0.2 < np.abs(sound).max() < 0.9, path.name
        assert np.sqrt((sound**2).mean()) > 0.02, path.name
    longest = max(seconds, key=lambda name: seconds[name])
    assert longest == "night train, 200 s.mp3"
    assert seconds[longest] > HEARD_AT_ONCE
    assert seconds.pop(longest) == pytest.approx(200, abs=0.2)
    assert all(4 < length < 15 for length in seconds.values())


def test_a_sweep_rises(corpus):
    sound, rate, _ = samples(corpus / "sounds" / "sweep up 100%.wav")
    second = [np.abs(np.fft.rfft(sound[at : at + rate])).argmax() for at in (0, 2 * rate, 4 * rate)]
    assert second == sorted(second)
    assert second[-1] > 8 * second[0]


@pytest.mark.parametrize(
    ("name", "seconds", "codec", "sounds"),
    [
        ("bouncing ball.mp4", 12, "h264", True),
        ("two balls, silent.mov", 8, "h264", False),
        ("a day in 150 seconds.mp4", 150, "h264", False),
        ("Windmühle #1.webm", 6, "vp9", True),
        ("clock [pendulum].mkv", 6, "h264", True),
    ],
)
def test_each_film_plays(corpus, name, seconds, codec, sounds):
    length, found, _, heard = film_facts(corpus / "films" / name)
    assert length == pytest.approx(seconds, abs=0.1)
    assert found.removeprefix("lib") == codec
    assert heard == sounds


def test_no_film_is_left_out_above(corpus):
    assert len(list(corpus.glob("films/*"))) == 5


def test_the_ball_is_heard_when_it_strikes_the_floor(corpus):
    sound, rate, _ = samples(corpus / "films" / "bouncing ball.mp4")
    loud = np.abs(sound[: rate * 12]).reshape(-1, rate // 10).max(axis=1) > 0.2
    strokes = np.count_nonzero(loud[1:] & ~loud[:-1])
    assert 6 <= strokes <= 30


def test_the_long_film_can_be_cut_on_key_frames(corpus):
    seconds, _, keys, _ = film_facts(corpus / "films" / "a day in 150 seconds.mp4")
    assert seconds > SEEN_AT_ONCE
    assert np.diff([*keys, seconds]).max() <= 5


def test_documents_have_pages_and_titles(corpus):
    found = {}
    for path in sorted(corpus.glob("documents/*")):
        with pikepdf.open(path) as pdf:
            assert not pdf.check_pdf_syntax()
            found[path.name] = len(pdf.pages)
            assert len(str(pdf.docinfo["/Title"])) > 8
    assert found["a year with the bees.pdf"] == 9 > PAGES_AT_ONCE
    assert found["rye bread.pdf"] == 1
    assert len(found) == 5


def test_lines_of_text_stay_within_their_page(corpus):
    with pikepdf.open(corpus / "documents" / "a year with the bees.pdf") as pdf:
        for page in pdf.pages:
            instructions: Any = pikepdf.parse_content_stream(page)
            places = [
                [float(number) for number in operands]
                for operands, operator in instructions
                if str(operator) == "Td"
            ]
            assert len(places) >= 12
            assert min(y for _, y in places) > 20
            lines = [y for _, y in places]
            assert all(above > below for above, below in pairwise(lines))


def test_the_scanned_document_has_no_text(corpus):
    with pikepdf.open(corpus / "documents" / "scanned map, 100%.pdf") as pdf:
        for page in pdf.pages:
            operators = [str(item.operator) for item in pikepdf.parse_content_stream(page)]
            assert "Tj" not in operators
            with Image.open(io.BytesIO(page.Resources.XObject.Picture.read_raw_bytes())) as picture:
                assert (picture.format, picture.size) == ("JPEG", (480, 320))


def test_broken_texts(corpus):
    assert (corpus / "broken" / "empty.txt").read_bytes() == b""
    blank = (corpus / "broken" / "blank.md").read_text()
    assert blank
    assert not blank.strip()
    noise = (corpus / "broken" / "random bytes.txt").read_bytes()
    assert len(set(noise)) == 256
    with pytest.raises(UnicodeDecodeError):
        noise.decode("utf-8")


def test_broken_picture(corpus):
    with Image.open(corpus / "broken" / "half a picture.png") as picture:
        assert picture.size == (480, 320)
        with pytest.raises(OSError, match="truncated") as caught:
            picture.load()
    assert not isinstance(caught.value, UnidentifiedImageError)


def test_broken_film(corpus):
    path = corpus / "broken" / "film cut short.mp4"
    assert path.read_bytes()[4:8] == b"ftyp"
    with pytest.raises(av.InvalidDataError):
        av.open(path)


def test_broken_sound(corpus):
    with wave.open(str(corpus / "broken" / "only a header.wav")) as file:
        assert file.getframerate() == 16_000
        assert file.readframes(16_000) == b""


def test_broken_documents(corpus):
    short = corpus / "broken" / "document cut short.pdf"
    assert short.read_bytes().startswith(b"%PDF-")
    with pytest.raises(pikepdf.PdfError, match="unable to find trailer"):
        pikepdf.open(short)
    with pytest.raises(pikepdf.PasswordError):
        pikepdf.open(corpus / "broken" / "locked.pdf")
    with pikepdf.open(corpus / "broken" / "locked.pdf", password="honey") as pdf:
        assert len(pdf.pages) == 9


def test_broken_archive_is_a_whole_zip_and_nothing_else(corpus):
    with zipfile.ZipFile(corpus / "broken" / "archive.zip") as archive:
        assert archive.testzip() is None
        assert "texts/bees-dance.txt" in archive.namelist()


def test_no_broken_file_is_left_out_above(corpus):
    assert len(list(corpus.glob("broken/*"))) == 9
