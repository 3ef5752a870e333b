"""Recognising files: by their bytes, with names only compared."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.recognised import recognise
from reembed.formats.signatures import HEAD_BYTES

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


def test_random_bytes_named_text_go_where_they_are_refused_as_no_text():
    assert recognise(random.Random(1).randbytes(4000), "a.txt").family == "text"


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


def test_suffixes_count_only_at_the_end_of_the_name():
    text = b"words only"
    assert recognise(text, "gs://bucket/a.png/b").warning is None
    assert recognise(text, "C:\\x\\A.PNG").warning == "named .png, holds text"
