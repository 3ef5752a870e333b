from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed_emulator.errors import RowError
from reembed_emulator.media import MediaReader, estimate_tokens


def test_parts_are_fused(embed, make):
    image = (make.image("green"), "image/png")
    fused = embed(image, text="green fields")
    assert fused.values @ embed(image).values > 0.5
    assert fused.values @ embed(text="green fields").values > 0.5
    assert fused.tokens == 258 + 2


def test_refused_types(embed, make):
    for mime_type in ("image/webp", "audio/flac", "video/webm", "text/plain", ""):
        with pytest.raises(RowError, match="Unsupported MIME type"):
            embed((make.image(), mime_type))


def test_estimates_agree_with_the_bill(embed, make):
    for part in (
        (make.image(), "image/png"),
        (make.audio(seconds=3), "audio/wav"),
        (make.video(seconds=5), "video/mp4"),
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


def test_media_are_measured_once(make):
    reader = MediaReader()
    image = make.image()
    assert reader.read(image, "image/png") is reader.read(image, "image/png")
    errors = []
    for _ in range(2):
        with pytest.raises(RowError, match="Unable to process") as caught:
            reader.read(b"broken", "image/png")
        errors.append(caught.value)
    assert errors[0] is not errors[1]


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
    assert np.isfinite(medium.features).all()


@pytest.fixture(scope="module")
def samples(make):
    return {
        "image/png": make.image(),
        "image/jpeg": make.image(kind="JPEG"),
        "audio/wav": make.audio(),
        "video/mp4": make.video(),
        "application/pdf": make.pdf("some words"),
    }
