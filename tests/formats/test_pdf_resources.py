"""A piece of a PDF is pruned where its pages could name what they never show."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name

from reembed.formats.pdf import must_be_pruned, render_pdf
from reembed.types import Recipe

IMAGE = 20_000


def blank(pages: int) -> pikepdf.Pdf:
    pdf = pikepdf.new()
    for _ in range(pages):
        pdf.add_blank_page(page_size=(200, 200))
    return pdf


def image(pdf: pikepdf.Pdf, seed: int, **more: object) -> pikepdf.Object:
    noise = random.Random(seed).randbytes(IMAGE)
    return pdf.make_stream(
        noise, Type=Name.XObject, Subtype=Name.Image, Width=100, Height=200,
        ColorSpace=Name.DeviceGray, BitsPerComponent=8, **more,
    )  # fmt: skip


def form(pdf: pikepdf.Pdf, *images: pikepdf.Object) -> pikepdf.Object:
    """A form whose dictionary names images; it draws the first of them."""
    named = Dictionary({f"/P{n}": each for n, each in enumerate(images)})
    return pdf.make_stream(
        b"/P0 Do", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 100]),
        Resources=Dictionary(XObject=named),
    )  # fmt: skip


def own(pdf: pikepdf.Pdf) -> None:
    """Each page names the image that it shows."""
    for number, page in enumerate(pdf.pages):
        page.Resources = Dictionary(XObject=Dictionary(P0=image(pdf, number + 1)))


def one_dictionary(pdf: pikepdf.Pdf) -> None:
    images = {f"/P{n}": image(pdf, n + 1) for n in range(len(pdf.pages))}
    resources = pdf.make_indirect(Dictionary(XObject=Dictionary(images)))
    for page in pdf.pages:
        page.Resources = resources


def one_inner_dictionary(pdf: pikepdf.Pdf) -> None:
    images = {f"/P{n}": image(pdf, n + 1) for n in range(len(pdf.pages))}
    inner = pdf.make_indirect(Dictionary(images))
    for page in pdf.pages:
        page.Resources = Dictionary(XObject=inner)


def each_names_all(pdf: pikepdf.Pdf) -> None:
    images = {f"/P{n}": image(pdf, n + 1) for n in range(len(pdf.pages))}
    for page in pdf.pages:
        page.Resources = Dictionary(XObject=Dictionary(images))


def forms_name_all(pdf: pikepdf.Pdf) -> None:
    images = [image(pdf, n + 1) for n in range(len(pdf.pages))]
    for number, page in enumerate(pdf.pages):
        shown = [*images[number:], *images[:number]]
        page.Resources = Dictionary(XObject=Dictionary(P0=form(pdf, *shown)))


def inherited(pdf: pikepdf.Pdf) -> None:
    images = {f"/P{n}": image(pdf, n + 1) for n in range(len(pdf.pages))}
    pdf.Root.Pages.Resources = Dictionary(XObject=Dictionary(images))
    for page in pdf.pages:
        del page.obj["/Resources"]


SHARED = (one_dictionary, one_inner_dictionary, each_names_all, forms_name_all, inherited)


def document(make: Callable[[pikepdf.Pdf], None], pages: int = 4) -> io.BytesIO:
    """A document whose pages each show the first or the image of their number."""
    pdf = blank(pages)
    make(pdf)
    for number, page in enumerate(pdf.pages):
        name = 0 if make in (own, forms_name_all) else number
        page.Contents = pdf.make_stream(b"q 100 0 0 100 0 0 cm /P%d Do Q" % name)
    out = io.BytesIO()
    pdf.save(out, compress_streams=False)
    return out


@pytest.mark.parametrize("make", SHARED)
def test_a_piece_does_not_carry_the_images_of_other_pages(
    make: Callable[[pikepdf.Pdf], None],
) -> None:
    source = document(make)
    with pikepdf.open(source) as pdf:
        assert must_be_pruned(pdf)
    piece = render_pdf(Recipe("pdf", "application/pdf", 2.0, 2.0), source)
    assert IMAGE < len(piece) < 2 * IMAGE
    with pikepdf.open(io.BytesIO(piece)) as pdf:
        assert sum(image.get("/Subtype") == Name.Image for image in streams(pdf)) == 1


def test_pages_that_name_what_they_show_are_left_alone() -> None:
    source = document(own)
    with pikepdf.open(source) as pdf:
        assert not must_be_pruned(pdf)
    piece = render_pdf(Recipe("pdf", "application/pdf", 2.0, 3.0), source)
    assert 2 * IMAGE < len(piece) < 3 * IMAGE
    with pikepdf.open(source) as before, pikepdf.open(io.BytesIO(piece)) as after:
        shown = [page.Resources.XObject.P0.read_bytes() for page in after.pages]
        assert shown == [before.pages[n].Resources.XObject.P0.read_bytes() for n in (1, 2)]


def test_forms_of_their_own_are_looked_into_and_left_alone() -> None:
    pdf = blank(3)
    for number, page in enumerate(pdf.pages):
        inner = form(pdf, image(pdf, number + 1))
        page.Resources = Dictionary(XObject=Dictionary(P0=inner))
    assert not must_be_pruned(pdf)


def test_forms_within_forms_without_end_are_pruned() -> None:
    pdf = blank(1)
    inner = form(pdf, image(pdf, 1))
    for _ in range(20):
        inner = form(pdf, inner)
    pdf.pages[0].Resources = Dictionary(XObject=Dictionary(P0=inner))
    assert must_be_pruned(pdf)


def test_a_long_document_is_not_looked_through() -> None:
    pdf = blank(101)
    for page in pdf.pages:
        page.Resources = Dictionary()
    assert must_be_pruned(pdf)
    del pdf.pages[100]
    assert not must_be_pruned(pdf)


def streams(pdf: pikepdf.Pdf) -> list[pikepdf.Object]:
    return [thing for thing in pdf.objects if isinstance(thing, pikepdf.Stream)]
