from __future__ import annotations

import pikepdf
import pytest

from reembed_emulator.paper_text import page_text

CMAP = b"""
2 beginbfchar
<0001> <0042>
<0002> <00650065>
endbfchar
2 beginbfrange
<0010> <0012> <0061>
<0020> <0021> [<03A9> <D83DDC1D>]
endbfrange
"""


@pytest.fixture
def page_of():
    def make(content, cmap=None):
        document = pikepdf.new()
        page = document.add_blank_page(page_size=(300, 300))
        kind = pikepdf.Name.Type0 if cmap else pikepdf.Name.Type1
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=kind)
        if cmap:
            font.ToUnicode = document.make_stream(cmap)
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = document.make_stream(content)
        return document, document.pages[0]

    return make


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"BT /F1 12 Tf (one) Tj 0 -12 Td (two) Tj ET", "one two"),
        (b"BT /F1 12 Tf [(on) 20 (e) -250 (two)] TJ ET", "one two"),
        (b"BT /F1 12 Tf (one) Tj (two) ' ET", "one two"),
        (b"BT /F1 12 Tf (caf\xe9) Tj ET", "café"),
        (b"BT (no font) Tj ET", "no font"),
        (b"0 0 10 10 re f", ""),
    ],
)
def test_simple_fonts(page_of, content, text):
    document, page = page_of(content)
    with document:
        assert page_text(page) == text


def test_composite_fonts_by_their_unicode_map(page_of):
    codes = b"000100020010001100120020002100FF"
    document, page = page_of(b"BT /F1 12 Tf <" + codes + b"> Tj ET", CMAP)
    with document:
        assert page_text(page) == "BeeabcΩ🐝"
