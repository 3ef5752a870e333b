"""Signatures in the first bytes of a file, and what only looks like one."""

from __future__ import annotations

import random

import pytest

from formats.recognised import recognise
from reembed.formats.signatures import HEAD_BYTES


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
