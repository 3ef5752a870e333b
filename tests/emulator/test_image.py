from __future__ import annotations

import pytest

from reembed_emulator.errors import RowError


@pytest.mark.parametrize(("kind", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_images_by_colour(embed, make, kind, mime_type):
    red, dark, blue = (
        embed((make.image(color, kind), mime_type)) for color in ("red", "#e01010", "blue")
    )
    assert red.tokens == 258
    assert red.values @ dark.values > red.values @ blue.values + 0.2


def test_equal_images_are_equal_and_six_are_allowed(embed, make):
    image = (make.image(), "image/png")
    assert embed(image).values @ embed(image).values == pytest.approx(1)
    assert embed(*[image] * 6).tokens == 6 * 258
    with pytest.raises(RowError, match="7 image parts; the limit is 6"):
        embed(*[image] * 7)


def test_damaged_images(embed, make):
    image = make.image()
    for data, mime_type in (
        (image[: len(image) // 2], "image/png"),
        (make.image(kind="JPEG"), "image/png"),
        (b"", "image/png"),
        (b"no picture", "image/jpeg"),
    ):
        with pytest.raises(RowError) as caught:
            embed((data, mime_type))
        assert caught.value.code == 3
