from __future__ import annotations

import io

import numpy as np
import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed_emulator.embedder import Embedded, Embedder
from reembed_emulator.errors import RowError
from reembed_emulator.files import Files
from reembed_emulator.media import MediaReader, estimate_tokens
from reembed_emulator.messages import EMBED_REQUEST
from reembed_emulator.models import MODELS
from reembed_emulator.protojson import parse

TWO = MODELS["gemini-embedding-2"]


@pytest.fixture(scope="module")
def embed(media_request):
    embedder = Embedder()

    def run(*parts, text=None):
        request = parse(EMBED_REQUEST, media_request(*parts, text=text, dimensions=3072))
        (done,) = embedder.embed([request], TWO, lambda uri: (b"", uri))
        if isinstance(done, RowError):
            raise done
        return done

    return run


def near(left: Embedded, right: Embedded) -> float:
    return float(left.values @ right.values)


@pytest.mark.parametrize(("kind", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_images_by_colour(embed, make, kind, mime_type):
    red, dark, blue = (
        embed((make.image(color, kind), mime_type)) for color in ("red", "#e01010", "blue")
    )
    assert red.tokens == 258
    assert near(red, dark) > near(red, blue) + 0.2


def test_image_twins_are_equal_and_six_are_allowed(embed, make):
    image = (make.image(), "image/png")
    assert near(embed(image), embed(image)) == pytest.approx(1)
    assert embed(*[image] * 6).tokens == 6 * 258
    with pytest.raises(RowError, match="7 image parts; the limit is 6"):
        embed(*[image] * 7)


@pytest.mark.parametrize(("kind", "mime_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg")])
def test_sounds_by_pitch(embed, make, kind, mime_type):
    low, lower, high = (
        embed((make.sound(hertz, kind=kind), mime_type)) for hertz in (220, 225, 3000)
    )
    assert low.tokens in (25, 50)
    assert near(low, lower) > near(low, high) + 0.2


def test_films_by_frames(embed, make):
    red, other, blue = (
        embed((make.film(color), "video/mp4"))
        for color in ((200, 30, 30), (190, 40, 30), (20, 30, 220))
    )
    assert red.tokens == 2 * 66
    assert near(red, other) > near(red, blue) + 0.1


def test_quicktime_and_the_frame_limit(embed, make):
    assert embed((make.film(seconds=40, kind="mov"), "video/quicktime")).tokens == 32 * 66


def test_papers_by_words(embed, make):
    bees = embed((make.pdf("Honey bees build combs of wax", "and store honey"), "application/pdf"))
    trains = embed((make.pdf("The locomotive crosses an iron bridge"), "application/pdf"))
    text = embed(text="how bees store honey in combs")
    assert (bees.tokens, trains.tokens) == (516, 258)
    assert near(bees, text) > near(trains, text) + 0.2


def test_parts_are_fused(embed, make):
    image = (make.image("green"), "image/png")
    fused = embed(image, text="green fields")
    assert near(fused, embed(image)) > 0.5
    assert near(fused, embed(text="green fields")) > 0.5
    assert fused.tokens == 258 + 2


def test_limits_of_length(embed, make):
    embed((make.sound(seconds=180), "audio/wav"))
    embed((make.film(seconds=120), "video/mp4"))
    with pytest.raises(RowError, match="180 seconds"):
        embed((make.sound(seconds=181), "audio/wav"))
    with pytest.raises(RowError, match="120 seconds"):
        embed((make.film(seconds=121), "video/mp4"))
    embed((make.pdf(*"123456"), "application/pdf"))
    with pytest.raises(RowError, match="7 pages; the limit is 6"):
        embed((make.pdf(*"1234567"), "application/pdf"))


@pytest.mark.parametrize("kind", ["audio", "video", "pdf"])
def test_one_of_each_other_kind(embed, make, kind):
    part = {
        "audio": (make.sound(), "audio/wav"),
        "video": (make.film(), "video/mp4"),
        "pdf": (make.pdf("x"), "application/pdf"),
    }[kind]
    with pytest.raises(RowError, match=f"2 {kind} parts; the limit is 1"):
        embed(part, part)


def test_damaged_media(embed, make):
    image, sound, film, paper = make.image(), make.sound(), make.film(), make.pdf("x")
    damaged = [
        (image[: len(image) // 2], "image/png"),
        (make.image(kind="JPEG"), "image/png"),
        (b"", "image/png"),
        (b"no picture", "image/jpeg"),
        (sound[:44], "audio/wav"),
        (sound, "audio/mpeg"),
        (b"noise" * 100, "audio/mpeg"),
        (film[: len(film) // 3], "video/mp4"),
        (sound, "video/mp4"),
        (b"\0" * 500, "video/quicktime"),
        (paper[:40], "application/pdf"),
        (b"text", "application/pdf"),
    ]
    for data, mime_type in damaged:
        with pytest.raises(RowError) as caught:
            embed((data, mime_type))
        assert caught.value.code == 3


def test_refused_types_and_codecs(embed, make):
    for mime_type in ("image/webp", "audio/flac", "video/webm", "text/plain", ""):
        with pytest.raises(RowError, match="Unsupported MIME type"):
            embed((make.image(), mime_type))
    with pytest.raises(RowError, match="codec mpeg4 is not supported"):
        embed((make.film(codec="mpeg4"), "video/mp4"))


def test_encrypted_paper(embed, make):
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(make.pdf("secret"))) as document:
        document.save(out, encryption=pikepdf.Encryption(user="u", owner="o"))
    with pytest.raises(RowError, match="could not be opened"):
        embed((out.getvalue(), "application/pdf"))


def test_estimates_agree_with_the_bill(embed, make):
    for part in (
        (make.image(), "image/png"),
        (make.sound(seconds=3), "audio/wav"),
        (make.film(seconds=5), "video/mp4"),
        (make.pdf("a", "b"), "application/pdf"),
    ):
        assert estimate_tokens(*part) == embed(part).tokens


def test_files_named_by_uri(serve, make):
    api = serve()
    file = api.upload(make.image("red"), mime_type="image/png")
    request = {
        "content": {"parts": [{"fileData": {"fileUri": file["uri"], "mimeType": "image/png"}}]},
        "outputDimensionality": 128,
    }
    assert api.row(request)["response"]["tokenCount"] == "258"
    api.http.delete(f"/v1beta/{file['name']}")
    assert api.row(request)["error"]["code"] == 5


def test_rows_with_media_through_a_job(api, make, media_request):
    rows = api.run(
        [
            media_request((make.image(), "image/png")),
            media_request((b"broken", "image/png")),
            media_request((make.pdf(*"1234567"), "application/pdf")),
        ]
    )
    assert rows["k0"]["response"]["tokenCount"] == "258"
    assert "Unable to process input image" in rows["k1"]["error"]["message"]
    assert "7 pages" in rows["k2"]["error"]["message"]


def test_silence_and_blank_papers_have_a_vector(embed, make):
    quiet = embed((make.sound(hertz=0), "audio/wav"))
    blank = embed((make.pdf(""), "application/pdf"))
    for done in (quiet, blank):
        assert np.linalg.norm(done.values) == pytest.approx(1, abs=1e-5)


def test_resolve_reads_the_last_part_of_a_uri_only(serve):
    files: Files = serve().server.backend.files
    with pytest.raises(RowError, match="does not exist") as caught:
        files.resolve("https://example.com/../../etc/passwd")
    assert caught.value.code == 5


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(["image/png", "image/jpeg", "audio/wav", "video/mp4", "application/pdf"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=40),
)
def test_damage_ends_as_a_vector_or_as_a_row_error(samples, mime_type, place, noise):
    data = bytearray(samples[mime_type])
    start = place % len(data)
    data[start : start + len(noise)] = noise
    estimate_tokens(bytes(data), mime_type)
    try:
        medium = MediaReader().read(bytes(data), mime_type)
    except RowError:
        return
    assert medium.tokens >= 25
    assert np.isfinite(medium.sums).all()


@pytest.fixture(scope="module")
def samples(make):
    return {
        "image/png": make.image(),
        "image/jpeg": make.image(kind="JPEG"),
        "audio/wav": make.sound(),
        "video/mp4": make.film(),
        "application/pdf": make.pdf("some words"),
    }
