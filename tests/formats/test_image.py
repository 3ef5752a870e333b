import io
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from formats.media_factory import (
    animation,
    cuts,
    encoded,
    gradient,
    image_file,
    mutations,
    noise,
    policy,
    reject_code,
    without,
)
from reembed.errors import RejectError
from reembed.formats.image import _quiet, cut_image
from reembed.formats.render import render


def cut(data, **given):
    return cut_image(io.BytesIO(data), "image/any", policy(**given))


def sent(data, **given):
    """The one piece and the image that would be sent, after checking what was promised."""
    (piece,) = cut(data, **given).pieces
    made = render(piece.recipe, io.BytesIO(data), policy(**given))
    assert len(made) == piece.input_bytes
    assert made == render(piece.recipe, io.BytesIO(data), policy(**given))
    opened = Image.open(io.BytesIO(made))
    assert Image.MIME[opened.format] == piece.mime_type == piece.recipe.mime_type
    opened.load()
    return piece, opened


@pytest.mark.parametrize(("form", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg")])
def test_what_the_model_takes_passes_as_it_is(form, mime):
    data = image_file(form)
    (piece,) = cut(data).pieces
    assert (piece.modality, piece.mime_type, piece.tokens) == ("image", mime, 258)
    assert (piece.start, piece.end, piece.unit, piece.text) == (None, None, None, None)
    assert piece.recipe.operation == "as_is"
    assert piece.input_bytes == len(data)
    assert render(piece.recipe, io.BytesIO(data), policy()) == data


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        *(("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "1")),
        *(("TIFF", "RGB"), ("TIFF", "RGBA"), ("TIFF", "CMYK"), ("TIFF", "LAB"), ("TIFF", "LA")),
        *(("TIFF", "L"), ("TIFF", "1"), ("TIFF", "P"), ("TIFF", "F"), ("TIFF", "I")),
        *(("JPEG2000", "RGB"), ("AVIF", "RGB"), ("ICO", "RGBA"), ("PPM", "RGB"), ("TGA", "RGB")),
    ],
)
def test_everything_else_becomes_an_eight_bit_png(form, mode):
    piece, made = sent(image_file(form, mode, size=(48, 48)))
    assert piece.mime_type == "image/png"
    assert piece.recipe.operation == "image"
    assert made.mode in ("L", "RGB", "RGBA")
    assert made.size == (48, 48)


@pytest.mark.parametrize("form", ["BMP", "TIFF", "PPM", "TGA"])
def test_a_lossless_conversion_keeps_every_pixel(form):
    pixels = noise(20, 10)
    _, made = sent(encoded(Image.fromarray(pixels), form))
    assert np.array_equal(np.asarray(made), pixels)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_is_applied_when_converting(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    upright = Image.fromarray(gradient(40, 20))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[turn]) if turn in undo else upright
    _, made = sent(encoded(stored, "TIFF", exif=exif))
    assert np.array_equal(np.asarray(made), np.asarray(upright))
    assert "exif" not in made.info


def test_transparency_is_kept_in_png():
    see_through = Image.new("RGBA", (8, 8), (255, 0, 0, 64))
    _, made = sent(encoded(see_through, "WEBP", lossless=True))
    assert made.mode == "RGBA"
    assert made.getpixel((3, 3)) == (255, 0, 0, 64)


def test_a_transparent_palette_becomes_rgba():
    indexed = Image.new("P", (4, 4), 1)
    indexed.putpalette([255, 0, 0, 0, 255, 0])
    _, made = sent(encoded(indexed, "GIF", transparency=1))
    assert made.mode == "RGBA"
    assert made.getpixel((0, 0))[3] == 0


def test_sixteen_bits_keep_their_high_byte():
    deep = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    _, made = sent(encoded(deep, "TIFF"))
    assert list(np.asarray(made)[0]) == [0, 0, 1, 255]


def test_floating_grey_is_spread_over_its_range_and_forgives_nan():
    values = np.array([[-1.0, 0.0, 1.0, np.nan]], np.float32)
    _, made = sent(encoded(Image.fromarray(values), "TIFF"))
    assert list(np.asarray(made)[0]) == [0, 127, 255, 127]


def test_a_large_opaque_photograph_becomes_a_jpeg():
    grain = noise(1500, 1000).astype(np.int16) // 12
    large = Image.fromarray((gradient(1500, 1000) + grain).clip(0, 255).astype(np.uint8))
    piece, made = sent(encoded(large, "BMP"))
    assert piece.mime_type == "image/jpeg"
    assert made.size == (1500, 1000)


def test_a_large_transparent_image_stays_a_png():
    large = Image.fromarray(noise(900, 900, 4))
    assert sent(encoded(large, "TIFF"))[0].mime_type == "image/png"


def test_a_model_that_takes_only_jpeg_gets_the_image_on_white():
    limits = {"image": {"mime_types": ["image/jpeg"]}}
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    piece, made = sent(encoded(clear, "PNG"), limits=limits)
    assert piece.mime_type == "image/jpeg"
    assert made.getpixel((8, 8)) == (255, 255, 255)


def test_a_type_that_the_table_lists_passes_as_it_is():
    limits = {"image": {"mime_types": ["image/webp", "image/png"]}}
    (piece,) = cut(image_file("WEBP"), limits=limits).pieces
    assert (piece.recipe.operation, piece.mime_type) == ("as_is", "image/webp")


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_sent_and_said(form):
    options = {"lossless": True} if form == "WEBP" else {}
    data = animation(form, **options)
    assert cut(data).notes == ("animated_image",)
    _, made = sent(data)
    if form != "GIF":
        assert np.array_equal(np.asarray(made.convert("RGB")), noise(32, 24))


def test_of_many_pages_the_first_is_sent_and_said():
    data = animation("TIFF")
    assert cut(data).notes == ("multi_page_image",)
    assert np.array_equal(np.asarray(sent(data)[1]), noise(32, 24))


def test_a_multi_image_jpeg_is_a_jpeg():
    piece = cut(animation("MPO")).pieces[0]
    assert (piece.recipe.operation, piece.mime_type) == ("as_is", "image/jpeg")


def test_a_plain_image_has_nothing_to_note():
    assert cut(image_file("GIF", "P")).notes == ()


def test_too_many_pixels_are_refused_by_the_header_alone():
    # The pixels are not there at all: a decoder that tried would say truncated.
    header = image_file("BMP", size=(400, 300))[:60]
    with pytest.raises(RejectError, match=r"400 x 300 pixels are above .*\(100000\)") as caught:
        cut(header, image={"max_pixels": 100_000})
    assert caught.value.code == "image_too_many_pixels"


def test_a_bomb_above_the_decoders_own_bound_is_refused_too():
    data = bytearray(image_file("PNG"))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with pytest.raises(RejectError) as caught:
        cut(bytes(data), image={"max_pixels": 10**12})
    assert caught.value.code == "image_too_many_pixels"


def test_an_image_above_the_weight_is_made_smaller():
    data = encoded(Image.fromarray(noise(800, 600)), "PNG")
    piece, made = sent(data, max_media_bytes=400_000)
    assert piece.input_bytes <= 400_000
    assert max(made.size) == 400
    assert dict(piece.recipe.options)["side"] == "400"


def test_an_image_that_cannot_be_made_small_enough_is_refused():
    with pytest.raises(RejectError, match=r"raise batch\.max_input_mb") as caught:
        cut(encoded(Image.fromarray(noise(800, 600)), "PNG"), max_media_bytes=500)
    assert caught.value.code == "media_too_large"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_half_an_image_is_truncated(form):
    data = encoded(Image.fromarray(noise(64, 64)), form)
    with pytest.raises(RejectError) as caught:
        cut(data[: len(data) // 2])
    assert caught.value.code == "image_truncated"
    assert "get the whole file again" in caught.value.message


def test_a_png_without_its_end_is_truncated():
    with pytest.raises(RejectError) as caught:
        cut(image_file("PNG")[:-12])
    assert caught.value.code == "image_truncated"


def test_what_no_decoder_knows_is_unreadable():
    with pytest.raises(RejectError, match="convert it to PNG or JPEG") as caught:
        cut(b"no image at all" * 10)
    assert caught.value.code == "image_unreadable"


def test_a_format_that_would_run_another_program_is_not_read():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(RejectError) as caught:
        cut(postscript)
    assert caught.value.code == "image_unreadable"


def test_a_model_without_images_says_so():
    with pytest.raises(RejectError) as caught:
        cut_image(io.BytesIO(image_file("PNG")), "image/png", without("image"))
    assert caught.value.code == "modality_unsupported"


def test_rendering_an_image_that_is_damaged_since_is_a_reject():
    data = image_file("BMP")
    (piece,) = cut(data).pieces
    with pytest.raises(RejectError) as caught:
        render(piece.recipe, io.BytesIO(data[: len(data) // 2]), policy())
    assert caught.value.code == "image_truncated"


def test_the_decoders_warnings_are_silent_for_all_threads_that_are_inside():
    before = list(warnings.filters)
    with _quiet:
        with _quiet:
            pass
        assert warnings.filters != before
    assert warnings.filters == before


FORMS = [
    *(("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P")),
    *(("WEBP", "RGBA"), ("BMP", "RGB"), ("TIFF", "RGB"), ("ICO", "RGBA"), ("JPEG2000", "RGB")),
    *(("AVIF", "RGB"), ("TGA", "RGB"), ("PPM", "RGB"), ("PCX", "RGB"), ("DDS", "RGB")),
]


@pytest.mark.parametrize(("form", "mode"), FORMS)
def test_damaged_images_are_rejects_or_renderable(form, mode):
    limits = policy(image={"max_pixels": 1_000_000})

    def cut_and_render(damaged):
        (piece,) = cut_image(io.BytesIO(damaged), "image/any", limits).pieces
        assert piece.recipe is not None
        assert render(piece.recipe, io.BytesIO(damaged), limits)

    data = image_file(form, mode, size=(32, 32))
    for damaged in (*cuts(data), *mutations(data, 40)):
        code = reject_code(lambda damaged=damaged: cut_and_render(damaged))
        assert code is None or code.startswith("image_")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["BMP", "TIFF", "GIF", "WEBP"]))
def test_any_size_is_promised_exactly(width, height, form):
    piece, made = sent(encoded(Image.fromarray(noise(width, height)), form))
    assert made.size == (width, height)
    assert piece.tokens == 258
