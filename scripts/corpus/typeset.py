"""Set pages of text in the standard fonts and write them as a PDF with pikepdf."""

import io
from dataclasses import dataclass, field

import pikepdf
from pikepdf import Dictionary, Name

A5 = (420, 595)
MARGIN = 54
FONTS = {"Body": "Times-Roman", "Head": "Helvetica-Bold"}
DATE = "D:20260101000000Z"

# Advance widths of Times-Roman in thousandths of the size, for the characters 32 to 126.
TIMES_WIDTHS = (
    250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278,
    500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 278, 278, 564, 564, 564, 444,
    921, 722, 667, 667, 722, 611, 556, 722, 722, 333, 389, 722, 611, 889, 722, 722,
    556, 722, 667, 556, 611, 722, 722, 944, 722, 722, 611, 333, 278, 333, 469, 500,
    333, 444, 500, 444, 500, 444, 333, 500, 500, 278, 278, 500, 278, 778, 500, 500,
    500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
)  # fmt: skip
OTHER_WIDTH = 500


@dataclass(slots=True)
class Page:
    """A page that is being written: drawing operators so far, and where the next line goes."""

    size: tuple[int, int] = A5
    y: float = 0.0
    operators: list[bytes] = field(default_factory=list)
    picture: bytes = b""

    def __post_init__(self) -> None:
        self.y = self.y or self.size[1] - MARGIN

    def draw(self, operators: str) -> None:
        """Add raw PDF operators."""
        self.operators.append(operators.encode("ascii"))

    def text(self, x: float, y: float, text: str, font: str, size: float) -> None:
        """Write one line of text at a place, in points from the lower left corner."""
        head = f"BT /{font} {size} Tf {x:.2f} {y:.2f} Td ".encode()
        self.operators.append(head + _string(text) + b" Tj ET")

    def heading(self, text: str, size: float = 16) -> None:
        """Write a heading and move below it."""
        self.y -= size * 1.5
        self.draw("0.15 0.25 0.35 rg")
        self.text(MARGIN, self.y, text, "Head", size)
        self.draw("0 g")
        self.y -= size * 1.5

    def paragraphs(self, text: str, size: float = 13) -> None:
        """Write paragraphs, which blank lines separate, in lines that fit between the margins."""
        width = self.size[0] - 2 * MARGIN
        for paragraph in text.strip().split("\n\n"):
            for line in wrapped(paragraph, size, width):
                self.text(MARGIN, self.y, line, "Body", size)
                self.y -= size * 1.4
            self.y -= size * 0.6

    def footer(self, text: str) -> None:
        """Write a small line at the foot of the page."""
        self.draw("0.4 g")
        self.text(MARGIN, MARGIN / 2, text, "Body", 9)
        self.draw("0 g")


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Break a paragraph into lines of Times-Roman no wider than `width` points."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def text_width(text: str, size: float) -> float:
    """Return the width of a line of Times-Roman in points."""
    inside = range(len(TIMES_WIDTHS))
    codes = [ord(character) - 32 for character in text]
    return sum(TIMES_WIDTHS[c] if c in inside else OTHER_WIDTH for c in codes) * size / 1000


def document(title: str, pages: list[Page]) -> pikepdf.Pdf:
    """Return a PDF of the pages, with its title and a fixed date."""
    pdf = pikepdf.Pdf.new()
    fonts = Dictionary({f"/{name}": _font(base) for name, base in FONTS.items()})
    for page in pages:
        sheet = pdf.add_blank_page(page_size=page.size)
        sheet.Contents = pdf.make_stream(b"\n".join(page.operators))
        sheet.Resources = Dictionary(Font=fonts)
        if page.picture:
            sheet.Resources.XObject = Dictionary(Picture=_jpeg(pdf, page.picture))
    pdf.docinfo["/Title"] = title
    pdf.docinfo["/CreationDate"] = DATE
    return pdf


def saved(pdf: pikepdf.Pdf) -> bytes:
    """Return the bytes of a PDF, compressed as most are, with an identifier made from them."""
    buffer = io.BytesIO()
    mode = pikepdf.ObjectStreamMode.generate
    pdf.save(buffer, deterministic_id=True, object_stream_mode=mode)
    return buffer.getvalue()


def _font(base: str) -> Dictionary:
    return Dictionary(
        Type=Name.Font,
        Subtype=Name.Type1,
        BaseFont=Name(f"/{base}"),
        Encoding=Name.WinAnsiEncoding,
    )


def _string(text: str) -> bytes:
    encoded = text.encode("cp1252")
    for special in (b"\\", b"(", b")"):
        encoded = encoded.replace(special, b"\\" + special)
    return b"(" + encoded + b")"


def _jpeg(pdf: pikepdf.Pdf, data: bytes) -> pikepdf.Stream:
    """Return a picture of 480 by 320 points as it lies in a JPEG file."""
    return pdf.make_stream(
        data,
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=480,
        Height=320,
        ColorSpace=Name.DeviceRGB,
        BitsPerComponent=8,
        Filter=Name.DCTDecode,
    )
