import io
import zlib
from itertools import pairwise

import pikepdf
import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.media_factory import cuts, mutations, pdf, policy, reject_code, without
from reembed.errors import RejectError
from reembed.formats.pdf import cut_pdf, page_spans
from reembed.formats.render import render


def cut(data, **given):
    return cut_pdf(io.BytesIO(data), policy(**given))


def sent(data, **given):
    """Every piece with its bytes, after checking what was promised."""
    made = []
    for piece in cut(data, **given).pieces:
        written = render(piece.recipe, io.BytesIO(data), policy(**given))
        assert len(written) == piece.input_bytes
        assert written == render(piece.recipe, io.BytesIO(data), policy(**given))
        made.append((piece, written))
    return made


def texts(data, password=None):
    file = pypdfium2.PdfDocument(data, password=password)
    read = [file[n].get_textpage().get_text_range() for n in range(len(file))]
    file.close()
    return read


def rejects(data, code, **given):
    with pytest.raises(RejectError) as caught:
        cut(data, **given)
    assert caught.value.code == code
    return caught.value.message


def test_a_short_pdf_passes_as_it_is():
    data = pdf(6)
    ((piece, written),) = sent(data)
    assert written == data
    assert (piece.modality, piece.mime_type) == ("pdf", "application/pdf")
    assert (piece.start, piece.end, piece.unit) == (1.0, 6.0, "page")
    assert (piece.tokens, piece.recipe.operation) == (6 * 258, "as_is")


def test_a_long_pdf_is_cut_with_one_shared_page_and_the_same_text():
    data = pdf(14)
    whole = texts(data)
    pieces = sent(data)
    assert [(p.start, p.end) for p, _ in pieces] == [(1.0, 6.0), (6.0, 11.0), (11.0, 14.0)]
    for piece, written in pieces:
        assert texts(written) == whole[int(piece.start) - 1 : int(piece.end)]
        assert piece.tokens == 258 * (piece.end - piece.start + 1)
        with pikepdf.open(io.BytesIO(written)) as part:
            assert part.check_pdf_syntax() == []


def test_the_models_pages_hold_above_the_configured():
    limits = {"pdf": {"max_pages": 2}}
    spans = [(p.start, p.end) for p in cut(pdf(4), limits=limits, pdf={"max_pages": 5}).pieces]
    assert spans == [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]


def test_an_image_is_only_where_it_is_used():
    data = pdf(9, image_side=300, image_on=(1,), links=True)
    (_, first), (_, second) = sent(data)
    assert len(data) > 250_000
    assert len(first) > 250_000
    assert len(second) < 10_000


def test_links_to_other_pages_do_not_bring_them_along():
    for piece, written in sent(pdf(9, links=True)):
        with pikepdf.open(io.BytesIO(written)) as part:
            pages = [o for o in part.objects if isinstance(o, pikepdf.Dictionary)]
            pages = [o for o in pages if o.get("/Type") == pikepdf.Name.Page]
            assert len(pages) == piece.end - piece.start + 1


def test_values_of_form_fields_are_drawn_into_the_pages():
    for piece, written in sent(pdf(8, form=True)):
        for number, text in enumerate(texts(written), start=int(piece.start)):
            assert f"This is page {number}." in text
            assert f"Filled in {number}" in text
        with pikepdf.open(io.BytesIO(written)) as part:
            assert "/AcroForm" not in part.Root


def test_a_field_that_no_form_lists_is_no_warning():
    with pikepdf.open(io.BytesIO(pdf(8, form=True))) as file:
        del file.Root.AcroForm
        out = io.BytesIO()
        for page in file.pages:
            page.obj.Annots[0].Subtype = pikepdf.Name.Link
        file.save(out)
    with pikepdf.open(out) as file:
        for page in file.pages:
            page.obj.Annots[0].Subtype = pikepdf.Name.Widget
            del page.obj.Annots[0].AP
        kept = io.BytesIO()
        with pytest.warns(pikepdf.exceptions.PageCopyWarning):
            file.save(kept)
    assert len(sent(kept.getvalue())) == 2


def test_hidden_layers_stay_hidden():
    with pikepdf.open(io.BytesIO(pdf(8))) as file:
        layer = file.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.OCG, Name="secret"))
        file.Root.OCProperties = pikepdf.Dictionary(
            OCGs=pikepdf.Array([layer]), D=pikepdf.Dictionary(OFF=pikepdf.Array([layer]))
        )
        file.pages[0].obj.Resources.Properties = pikepdf.Dictionary(L1=layer)
        hidden = b"/OC /L1 BDC BT /F1 24 Tf 72 300 Td (Hidden) Tj ET EMC "
        old = file.pages[0].obj.Contents.read_bytes()
        file.pages[0].obj.Contents = pikepdf.Stream(file, hidden + old)
        out = io.BytesIO()
        file.save(out)
    first = sent(out.getvalue())[0][1]
    with pikepdf.open(io.BytesIO(first)) as part:
        (used,) = part.Root.OCProperties.D.OFF
        assert part.pages[0].obj.Resources.Properties.L1.objgen == used.objgen


def test_the_title_is_that_of_the_document_information():
    assert cut(pdf(1, Title="  A\tbook \n of things ")).title == "A book of things"


def test_the_title_may_stand_in_the_metadata_alone():
    with pikepdf.open(io.BytesIO(pdf(1))) as file:
        with file.open_metadata(update_docinfo=False) as meta:
            meta["dc:title"] = "From XMP"
        out = io.BytesIO()
        file.save(out)
    assert cut(out.getvalue()).title == "From XMP"


def test_a_broken_metadata_packet_is_no_title():
    with pikepdf.open(io.BytesIO(pdf(1))) as file:
        file.Root.Metadata = pikepdf.Stream(file, b"<no xml at all")
        out = io.BytesIO()
        file.save(out)
    assert cut(out.getvalue()).title is None


@pytest.mark.parametrize("title", ["", "   ", "\x00\x07"])
def test_a_blank_title_is_none(title):
    assert cut(pdf(1, Title=title)).title is None


def test_a_password_is_asked_for():
    locked = pdf(
        2, saving={"encryption": pikepdf.Encryption(owner="o", user="u"), "static_id": False}
    )
    assert "save it without one" in rejects(locked, "pdf_encrypted")


def test_an_empty_password_opens_and_is_taken_away():
    data = pdf(3, saving={"encryption": pikepdf.Encryption(owner="o", user=""), "static_id": False})
    assert cut(data).notes == ("pdf_decrypted",)
    ((piece, written),) = sent(data)
    assert (piece.start, piece.end, piece.recipe.operation) == (1.0, 3.0, "pdf")
    with pikepdf.open(io.BytesIO(written)) as part:
        assert not part.is_encrypted
    assert texts(written) == texts(data)


def test_bytes_before_the_header_are_taken_away():
    ((piece, written),) = sent(b"junk before\n" + pdf(2))
    assert piece.recipe.operation == "pdf"
    assert written.startswith(b"%PDF-")


def test_a_pdf_whose_index_is_lost_is_repaired_and_said():
    data = pdf(9, links=True)
    broken = data[: data.rindex(b"startxref")]
    assert cut(broken).notes == ("pdf_repaired",)
    assert [t for _, w in sent(broken) for t in texts(w)] == [
        *texts(data)[:6],
        *texts(data)[5:],
    ]


def test_even_a_short_repaired_pdf_is_written_anew():
    data = pdf(2)
    ((piece, written),) = sent(data[: data.rindex(b"startxref")])
    assert piece.recipe.operation == "pdf"
    assert texts(written) == texts(data)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cut_pdf_is_damaged(share):
    data = pdf(9, image_side=60, image_on=(1, 9))
    rejects(data[: int(len(data) * share)], "pdf_damaged")


def test_a_pdf_cut_between_two_objects_is_damaged():
    data = pdf(9)
    message = rejects(data[: data.index(b"endobj", len(data) // 2) + 7], "pdf_damaged")
    assert "is missing" in message


def test_fewer_pages_than_declared_are_damage():
    data = pdf(3).replace(b"/Count 3", b"/Count 9")
    assert "9 pages are declared, 3 found" in rejects(data, "pdf_damaged")


def test_a_page_that_does_not_inflate_is_damage():
    with pikepdf.open(io.BytesIO(pdf(2))) as file:
        squeezed = bytearray(zlib.compress(b"BT ET " * 500))
        squeezed[2] = 0xFF  # there is no such kind of block
        content = pikepdf.Stream(file, bytes(squeezed))
        content.Filter = pikepdf.Name.FlateDecode
        file.pages[1].obj.Contents = content
        out = io.BytesIO()
        file.save(out, compress_streams=False)
    assert "page 2 does not inflate" in rejects(out.getvalue(), "pdf_damaged")


def test_a_page_that_inflates_without_end_is_refused():
    with pikepdf.open(io.BytesIO(pdf(1))) as file:
        packer = zlib.compressobj(9)
        bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(300)) + packer.flush()
        content = pikepdf.Stream(file, bomb)
        content.Filter = pikepdf.Name.FlateDecode
        file.pages[0].obj.Contents = content
        out = io.BytesIO()
        file.save(out, compress_streams=False)
    assert len(out.getvalue()) < 1_000_000
    assert "inflates to more than" in rejects(out.getvalue(), "pdf_damaged")


def test_no_pages_are_a_reject():
    assert "make it anew" in rejects(pdf(0), "pdf_no_pages")


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7\n", b"not a pdf", b"%PDF-1.4\n" + b"\0" * 500])
def test_what_is_no_pdf_is_damaged(data):
    message = rejects(data, "pdf_damaged")
    assert "BytesIO" not in message


def test_heavy_pages_make_pieces_of_fewer_pages():
    data = pdf(6, image_side=100, image_on=(1, 2, 3, 4, 5, 6), own_images=True)
    pieces = sent(data, max_media_bytes=len(data) // 2 + 20_000)
    assert [(p.start, p.end) for p, _ in pieces] == [(1.0, 3.0), (3.0, 5.0), (5.0, 6.0)]


def test_a_page_too_heavy_for_any_request_is_refused():
    data = pdf(2, image_side=200, image_on=(2,))
    message = rejects(data, "media_too_large", max_media_bytes=50_000)
    assert "page 2 alone weighs" in message
    assert "raise batch.max_input_mb" in message


def test_pages_that_are_gone_since_the_plan_are_a_reject():
    last = cut(pdf(12)).pieces[-1]
    with pytest.raises(RejectError, match="pages 11 to 12 were planned, the PDF has 3") as caught:
        render(last.recipe, io.BytesIO(pdf(3)), policy())
    assert caught.value.code == "media_changed"


def test_a_model_without_pdf_says_so():
    with pytest.raises(RejectError) as caught:
        cut_pdf(io.BytesIO(pdf(1)), without("pdf"))
    assert caught.value.code == "modality_unsupported"


@pytest.mark.parametrize(
    "data",
    [
        pdf(7, 40, (1,), links=True),
        pdf(7, form=True),
        pdf(7, 20, (1,), saving={"object_stream_mode": pikepdf.ObjectStreamMode.generate}),
    ],
)
def test_damaged_pdfs_are_rejects_or_renderable(data):
    def render_all(damaged):
        for piece in cut(damaged).pieces:
            written = render(piece.recipe, io.BytesIO(damaged), policy())
            assert len(written) <= piece.input_bytes

    for damaged in (*cuts(data), *mutations(data, 60)):
        code = reject_code(lambda damaged=damaged: render_all(damaged))
        assert code is None or code.startswith("pdf_")


@given(st.integers(1, 400), st.integers(1, 12), st.integers(0, 20))
def test_spans_cover_all_pages_and_share_what_is_asked(pages, most, overlap):
    spans = list(page_spans(pages, most, overlap))
    assert spans[0][0] == 1
    assert spans[-1][1] == pages
    assert all(0 <= last - first < most for first, last in spans)
    shared = overlap if overlap < most else most // 2
    for (_, last), (first, following) in pairwise(spans):
        assert last - first + 1 == shared
        assert following > last
