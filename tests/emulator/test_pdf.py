from __future__ import annotations

import io

import numpy as np
import pikepdf
import pytest

from reembed_emulator.errors import RowError
from reembed_emulator.pdf import read_pdf, read_text

CMAP = b"""
/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
2 beginbfchar
<0001> <0042>
<0002> <00650065>
endbfchar
2 beginbfrange
<0010> <0012> <0061>
<0020> <0021> [<03A9> <D83DDC1D>]
endbfrange
endcmap
end
end
"""


@pytest.fixture
def pdf_of():
    def make(content, cmap=None):
        document = pikepdf.new()
        page = document.add_blank_page(page_size=(300, 300))
        if cmap:
            descendant = pikepdf.Dictionary(
                Type=pikepdf.Name.Font,
                Subtype=pikepdf.Name.CIDFontType2,
                BaseFont=pikepdf.Name.Some,
                CIDSystemInfo=pikepdf.Dictionary(
                    Registry=b"Adobe", Ordering=b"Identity", Supplement=0
                ),
                DW=500,
            )
            font = pikepdf.Dictionary(
                Type=pikepdf.Name.Font,
                Subtype=pikepdf.Name.Type0,
                BaseFont=pikepdf.Name.Some,
                Encoding=pikepdf.Name("/Identity-H"),
                DescendantFonts=pikepdf.Array([document.make_indirect(descendant)]),
                ToUnicode=document.make_stream(cmap),
            )
        else:
            font = pikepdf.Dictionary(
                Type=pikepdf.Name.Font,
                Subtype=pikepdf.Name.Type1,
                BaseFont=pikepdf.Name.Helvetica,
                Encoding=pikepdf.Name.WinAnsiEncoding,
            )
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = document.make_stream(content)
        out = io.BytesIO()
        document.save(out)
        return out.getvalue()

    return make


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"BT /F1 12 Tf 20 200 Td (one) Tj 0 -12 Td (two) Tj ET", "one two"),
        (b"BT /F1 12 Tf 20 200 Td [(on) 20 (e) -250 (two)] TJ ET", "one two"),
        (b"BT /F1 12 Tf 20 200 Td 14 TL (one) Tj (two) ' ET", "one two"),
        (b"BT /F1 12 Tf 20 200 Td (caf\xe9) Tj ET", "café"),
        # Without a font nothing is drawn, so there is nothing to read.
        (b"BT 20 200 Td (no font) Tj ET", ""),
        (b"0 0 10 10 re f", ""),
    ],
)
def test_simple_fonts(pdf_of, content, text):
    assert read_text(pdf_of(content)) == text


def test_composite_fonts_by_their_unicode_map(pdf_of):
    codes = b"0001000200100011001200200021"
    content = b"BT /F1 12 Tf 20 200 Td <" + codes + b"> Tj ET"
    assert read_text(pdf_of(content, CMAP)) == "BeeabcΩ🐝"


def test_a_document_that_pdfium_cannot_open_has_no_text():
    assert read_text(b"text") == ""


def test_a_document_that_only_qpdf_can_open_keeps_its_text(make):
    # PDFium looks for the header in the first kilobyte.
    data = b"% junk before the header\n" * 100 + make.pdf("some words")
    assert read_text(data) == ""
    assert read_pdf(data).text == "some words"


def test_documents_by_words(embed, make):
    bees = embed((make.pdf("Honey bees build combs of wax", "and store honey"), "application/pdf"))
    trains = embed((make.pdf("The locomotive crosses an iron bridge"), "application/pdf"))
    text = embed(text="how bees store honey in combs")
    assert (bees.tokens, trains.tokens) == (516, 258)
    assert bees.values @ text.values > trains.values @ text.values + 0.2


def test_the_limit_of_pages(embed, make):
    embed((make.pdf(*"123456"), "application/pdf"))
    with pytest.raises(RowError, match="7 pages; the limit is 6"):
        embed((make.pdf(*"1234567"), "application/pdf"))


def test_damaged_documents(embed, make):
    for data in (make.pdf("x")[:40], b"text"):
        with pytest.raises(RowError) as caught:
            embed((data, "application/pdf"))
        assert caught.value.code == 3


def test_encrypted_documents(embed, make):
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(make.pdf("secret"))) as document:
        document.save(out, encryption=pikepdf.Encryption(user="u", owner="o"))
    with pytest.raises(RowError, match="could not be opened"):
        embed((out.getvalue(), "application/pdf"))


def test_blank_documents_have_a_vector(embed, make):
    blank = embed((make.pdf(""), "application/pdf"))
    assert np.linalg.norm(blank.values) == pytest.approx(1, abs=1e-5)
