"""Name the typeset documents, and put their pages together."""

import io
from collections import defaultdict
from collections.abc import Iterator

import pikepdf

from .charts import island_map
from .figures import bars, board, honeycomb
from .prose import HERE, sections
from .seeds import generator
from .typeset import MARGIN, Page, document, saved

BEE_YEAR = "A year with the bees"
ENDINGS = (
    {"e6": "k", "e4": "K", "e3": "P"},
    {"a5": "P", "a1": "R", "e3": "K", "a7": "r", "g7": "k"},
)
SCAN = (588, 428)


def documents(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each PDF."""
    leaflets = defaultdict(list)
    for heading, text in sections(HERE / "long" / "leaflets.txt"):
        leaflets[heading].append(text)
    yield "documents/a year with the bees.pdf", saved(bee_year())
    yield "documents/rye bread.pdf", saved(_bread(leaflets["bread"][0]))
    yield "documents/volcano report #4.pdf", saved(_volcano(leaflets["volcano"], seed))
    yield "documents/chess endings [board].pdf", saved(_chess(leaflets["chess"]))
    yield "documents/scanned map, 100%.pdf", saved(_scan(seed))


def bee_year() -> pikepdf.Pdf:
    """Return the handbook of nine pages: more than the six that one request may hold."""
    pages = []
    for number, (heading, text) in enumerate(sections(HERE / "long" / "bee_year.txt"), 1):
        page = Page()
        page.heading(heading)
        page.paragraphs(text)
        honeycomb(page, full=max(0, 26 - 5 * abs(number - 5)))
        page.footer(f"{BEE_YEAR}  ·  {number}")
        pages.append(page)
    return document(BEE_YEAR, pages)


def _bread(text: str) -> pikepdf.Pdf:
    page = _leaf(text)
    page.footer("From the bakery by the harbour")
    return document("Rye bread with caraway", [page])


def _volcano(texts: list[str], seed: int) -> pikepdf.Pdf:
    weeks = generator(seed, "volcano").uniform(0.05, 0.35, 13)
    weeks[8:11] = 1.0, 0.8, 0.5
    pages = []
    for number, text in enumerate(texts, 1):
        page = _leaf(text)
        if number == 2:
            bars(page, weeks, "Earthquakes in each of the thirteen weeks (week 9: 212)")
        page.footer(f"Volcano watch, report 4  ·  {number}")
        pages.append(page)
    return document("Volcano watch, report 4", pages)


def _chess(texts: list[str]) -> pikepdf.Pdf:
    pages = []
    for text, pieces in zip(texts, ENDINGS, strict=True):
        heading, _, rest = text.partition("\n")
        page = Page()
        page.heading(heading)
        board(page, pieces)
        page.paragraphs(rest)
        pages.append(page)
    return document("Two chess endings on one board", pages)


def _scan(seed: int) -> pikepdf.Pdf:
    """Return pages that hold a picture and no text, as a scanner leaves them."""
    pages = []
    for variant in range(2):
        buffer = io.BytesIO()
        island_map(generator(seed, f"scan {variant}"), variant).save(buffer, "JPEG", quality=85)
        page = Page(size=SCAN, picture=buffer.getvalue())
        page.draw(f"q 480 0 0 320 {MARGIN} {MARGIN} cm /Picture Do Q")
        pages.append(page)
    return document("Two maps, scanned", pages)


def _leaf(text: str) -> Page:
    heading, _, rest = text.partition("\n")
    page = Page()
    page.heading(heading)
    page.paragraphs(rest)
    return page
