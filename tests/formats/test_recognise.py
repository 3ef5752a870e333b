"""Recognising files: by their bytes, with names only compared."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.formats import recognise as module
from reembed.formats.signatures import HEAD_BYTES


@dataclass(frozen=True)
class Found:
    """What was recognised, with the family that a reader of these tests thinks in."""

    family: str
    label: str
    mime_type: str
    warning: str | None
    remedy: str


def recognise(head: bytes, name: str) -> Found:
    found = module.recognise(head, name)
    known = found.format
    family: str = "av" if set(known.modalities) == {"audio", "video"} else known.modalities[0]
    family = "html" if known.name == "html" else family
    return Found(family, known.label, known.mime_type, found.warning, known.remedy)


FAMILIES = {
    "image": ("PNG", "JPEG", "GIF", "BMP", "TIFF", "AVIF", "WebP"),
    "av": (
        *("WAV", "MP3", "FLAC", "OGG", "M4A", "AAC", "AIFF"),
        *("MP4", "MOV", "AVI", "Matroska", "WebM", "MPEG-TS", "FLV"),
    ),
    "pdf": ("PDF",),
    "html": ("HTML",),
    "unknown": ("a ZIP archive", "a Word document", "a gzip archive"),
}
BY_LABEL = [(label, family) for family, labels in FAMILIES.items() for label in labels]


@pytest.mark.parametrize(("label", "family"), BY_LABEL)
def test_real_files_are_recognised_without_their_names(files, label, family):
    data = files[label]
    found = recognise(data[:HEAD_BYTES], "noname")
    assert (found.family, found.label) == (family, label)
    assert found.warning is None
    assert bool(found.remedy) == (family == "unknown")


@pytest.mark.parametrize(
    ("label", "name", "warning"),
    [
        ("PNG", "a.jpg", "named .jpg, holds PNG"),
        ("HTML", "a.txt", "named .txt, holds HTML"),
        ("text", "a.mp4", "named .mp4, holds text"),
        ("PDF", "a.html", "named .html, holds PDF"),
        ("JPEG", "a.JPEG", None),
        ("MP4", "a.m4v", None),
        ("text", "a.csv", None),
        ("text", "a.unheardof", None),
        ("text", "folder.png/readme", None),
    ],
)
def test_a_name_that_disagrees_is_a_warning(files, label, name, warning):
    assert recognise(files[label], name).warning == warning


def test_mime_types_of_what_passes_as_it_is(files):
    wanted = {
        "PNG": "image/png",
        "JPEG": "image/jpeg",
        "WAV": "audio/wav",
        "MP3": "audio/mpeg",
        "MP4": "video/mp4",
        "MOV": "video/quicktime",
        "PDF": "application/pdf",
    }
    found = {label: recognise(files[label][:HEAD_BYTES], "x").mime_type for label in wanted}
    assert found == wanted


def test_mp3_without_tag_and_with_padding(files):
    frames = files["MP3"][files["MP3"].index(b"\xff\xfb") :]
    assert recognise(frames[:HEAD_BYTES], "x").label == "MP3"
    padded = bytes(700) + frames
    assert recognise(padded[:HEAD_BYTES], "x.mp3").label == "MP3"
    assert recognise(padded[:HEAD_BYTES], "x.bin").family == "unknown"


def test_random_bytes_are_no_media():
    noise = random.Random(5)
    for _ in range(400):
        head = b"\xff\xfb" + noise.randbytes(HEAD_BYTES - 2)
        assert recognise(head, "x.mp3").family == "unknown"


def test_random_bytes_named_text_go_where_they_are_refused_as_no_text():
    assert recognise(random.Random(1).randbytes(4000), "a.txt").family == "text"


@pytest.mark.parametrize(
    "text",
    [
        "BM is a text that begins with two letters of a bitmap",
        "ID3 is a tag format of sounds",
        "RIFF raff WAVE",
        "GIF89a is a version of a format",
        "the wide world, and its moov",
        "fLaC is free",
        "MZ are the initials of its author",
        "A page about how a file begins with %PDF-1.7 and goes on",
        "OggS, caff and FORM....AIFX",
    ],
)
def test_words_that_look_like_signatures_are_text(text):
    assert recognise(text.encode(), "notes.txt").family == "text"


def test_pdf_behind_junk(files):
    for junk in (b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" * 20, bytes(1000)):
        assert recognise(junk + files["PDF"], "x").family == "pdf"
    assert recognise(bytes(1025) + files["PDF"], "x").family == "unknown"


@pytest.mark.parametrize(
    ("head", "name", "family"),
    [
        ("\ufeff<!doctype html><p>x".encode(), "x", "html"),
        ("<!-- note --><HTML><p>x".encode("utf-16"), "x", "html"),
        (b"<?xml version='1.0'?><html xmlns='x'>", "x", "html"),
        (b"<p>A fragment <b>only</b></p>", "a.html", "html"),
        (b"<p>A fragment <b>only</b></p>", "a.md", "text"),
        (b"Some <html> is mentioned here", "a.txt", "text"),
        (b"plain words named so", "a.html", "text"),
    ],
)
def test_html_is_told_by_its_content(head, name, family):
    assert recognise(head, name).family == family


@pytest.mark.parametrize(
    ("head", "label", "remedy"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "a HEIC image", "PNG or JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing", "PNG or JPEG"),
        (b"\x7fELF\x02\x01\x01" + bytes(9), "an executable (ELF)", "remove it"),
        (b"{\\rtf1\\ansi hello}", "a rich text document (RTF)", "as PDF"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7-Zip archive", "unpack"),
        (bytes(range(40)) * 9, "binary data of no known format named .dat", "supported format"),
    ],
)
def test_what_is_not_taken_is_named_with_a_remedy(head, label, remedy):
    found = recognise(head, "x.dat")
    assert (found.family, found.label) == ("unknown", label)
    assert remedy in found.remedy


@given(st.binary(max_size=600), st.sampled_from(["a", "a.txt", "b.mp3", "c.png", "é\udcff.md", ""]))
def test_it_never_raises(head, name):
    assert recognise(head, name).mime_type


@pytest.mark.parametrize("cut", [1, 3, 4, 8, 11, 12, 16, 40])
def test_cut_heads_never_raise(files, cut):
    for data in files.values():
        assert recognise(data[:cut], "x.jpg").family


@pytest.mark.parametrize(
    ("head", "family"),
    [
        (b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avif", "image"),
        (b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat" + bytes(20), "av"),
        (b"\x00\x00\x00\x14ftypXXXX" + bytes(20), "av"),
        (b"RIFF\x00\x00\x00\x00CDR9" + bytes(20), "unknown"),
        (b"OggS\x00\x02" + bytes(20), "av"),
        (b"ID3\x03\x00\x00\x00\x00\x7f\x7f" + bytes(20), "av"),
        (b"ID3\x03\x00\x00\xff\xff\xff\xff" + bytes(20), "unknown"),
        (b"BM" + bytes(30), "unknown"),
    ],
)
def test_members_of_container_families(head, family):
    assert recognise(head, "x").family == family


def test_suffixes_count_only_at_the_end_of_the_name():
    text = b"words only"
    assert recognise(text, "gs://bucket/a.png/b").warning is None
    assert recognise(text, "C:\\x\\A.PNG").warning == "named .png, holds text"
