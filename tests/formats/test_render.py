import io
import os
import threading
from typing import Any

import pytest

from formats.media_factory import audio_file, image_file, pdf, policy, tone, video_file, wav
from reembed.errors import RejectError
from reembed.formats.image import cut_image
from reembed.formats.pdf import cut_pdf
from reembed.formats.render import render
from reembed.formats.video import cut_av
from reembed.types import Recipe

SHORT = policy(
    audio={"max_seconds": 1.0, "overlap_seconds": 0.2},
    video={"max_seconds": 3.0, "overlap_seconds": 0.5, "soundtrack": "separate"},
    pdf={"max_pages": 2, "overlap_pages": 1},
)


def cut(data, kind):
    if kind == "image":
        return cut_image(io.BytesIO(data), "image/any", SHORT)
    if kind == "pdf":
        return cut_pdf(io.BytesIO(data), SHORT)
    return cut_av(io.BytesIO(data), f"{kind}/any", SHORT)


KINDS = {
    "png": (image_file("PNG"), "image"),
    "webp": (image_file("WEBP"), "image"),
    "wav": (wav(tone(40_000, 16_000), 16_000), "audio"),
    "mp3": (audio_file("mp3", "libmp3lame"), "audio"),
    "video": (video_file(with_sound=True), "video"),
    "sparse video": (video_file(every=500), "video"),
    "pdf": (pdf(5, form=True), "pdf"),
    "short pdf": (pdf(1), "pdf"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_piece_renders_from_its_recipe_alone(name):
    data, kind = KINDS[name]
    found = cut(data, kind)
    assert found.pieces
    for piece in found.pieces:
        assert piece.text is None
        assert piece.recipe.mime_type == piece.mime_type
        assert piece.recipe.options == tuple(sorted(piece.recipe.options))
        written = render(piece.recipe, io.BytesIO(data), SHORT)
        assert 0 < len(written) <= piece.input_bytes
        assert piece.tokens > 0


@pytest.mark.parametrize("name", KINDS)
def test_cutting_and_rendering_leave_the_source_open(name):
    data, kind = KINDS[name]
    source = io.BytesIO(data)
    pieces: Any = cut_image(source, "", SHORT) if kind == "image" else None
    pieces = pieces or (cut_pdf(source, SHORT) if kind == "pdf" else cut_av(source, "", SHORT))
    first = [render(piece.recipe, source, SHORT) for piece in pieces.pieces]
    assert not source.closed
    # In any order, from wherever the last reader stopped.
    for piece, written in reversed(list(zip(pieces.pieces, first, strict=True))):
        source.seek(7)
        assert render(piece.recipe, source, SHORT) == written


@pytest.mark.parametrize("name", KINDS)
def test_a_file_on_disk_renders_like_one_in_memory(name, tmp_path):
    data, kind = KINDS[name]
    path = tmp_path / "media"
    path.write_bytes(data)
    for piece in cut(data, kind).pieces:
        with path.open("rb") as source:
            assert render(piece.recipe, source, SHORT) == render(
                piece.recipe, io.BytesIO(data), SHORT
            )


def test_as_is_gives_the_very_bytes():
    data = os.urandom(1000)
    recipe = Recipe("as_is", "image/png")
    source = io.BytesIO(data)
    source.seek(500)
    assert render(recipe, source, policy()) == data


def test_a_source_that_has_grown_above_the_weight_is_a_reject():
    with pytest.raises(RejectError, match="weighs 1001 bytes now, above the 1000") as caught:
        render(Recipe("as_is", "image/png"), io.BytesIO(bytes(1001)), policy(max_media_bytes=1000))
    assert caught.value.code == "media_too_large"


def test_threads_render_the_same_bytes():
    data, kind = KINDS["sparse video"]
    image_data, _ = KINDS["webp"]
    pieces = cut(data, kind).pieces
    (image,) = cut(image_data, "image").pieces
    expected = [render(piece.recipe, io.BytesIO(data), SHORT) for piece in pieces]
    converted = render(image.recipe, io.BytesIO(image_data), SHORT)
    seen = []

    def work():
        videos = [render(piece.recipe, io.BytesIO(data), SHORT) for piece in pieces]
        seen.append((videos, render(image.recipe, io.BytesIO(image_data), SHORT)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(expected, converted)] * 4
