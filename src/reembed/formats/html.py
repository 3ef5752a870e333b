"""Extract readable text from HTML: the article, or all visible text where that loses some."""

from __future__ import annotations

import codecs
import copy
import re
from collections import Counter

import lxml.html
from lxml import etree

from reembed.errors import RejectError
from reembed.formats.base import Extracted
from reembed.formats.charset import Decoded, decode

_DECLARED = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", re.I)
_XML_DECLARED = re.compile(rb"""^\s*<\?xml[^>]{0,200}encoding\s*=\s*["']([A-Za-z0-9_.-]{2,40})""")
# What browsers do with these names (WHATWG Encoding, "labels").
_AS_BROWSERS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
}
_DECLARATION_BYTES = 4096
_NOT_CHARSETS = frozenset(
    (
        *("base64", "bz2", "hex", "quopri", "rot13", "uu", "zlib", "idna", "punycode"),
        *("undefined", "mbcs", "oem", "raw-unicode-escape", "unicode-escape"),
    )
)

# Never content; removed before anything is extracted.
_SILENT = ("script", "style", "noscript", "template", "svg", "iframe", "object", "datalist")
_CONTROLS = ("select", "button", "input", "textarea")
_NAVIGATION = "//nav | //menu | //*[@role='navigation'] | //footer[not(ancestor::article)]"

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_TABLES = ("caption", "tbody", "td", "tfoot", "th", "thead", "tr")
_SECTIONS = ("address", "aside", "body", "details", "div", "fieldset", "footer", "form", "header")
_SMALL = ("br", "dd", "dt", "figcaption", "hr", "legend", "li", "main", "nav", "summary")
_PARAGRAPHS = frozenset(
    (
        *_HEADINGS,
        "article",
        "blockquote",
        "dl",
        "figure",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "ul",
    )
)
_BLOCKS = _PARAGRAPHS | {*_TABLES, *_SECTIONS, *_SMALL}
_SPACES = re.compile(r"[ \t\r\n\f]+")
_ENOUGH = 0.6  # of the visible words; below, the extractor has taken content for clutter


def extract_html(data: bytes) -> Extracted:
    """Reduce a page to its readable text.

    Args:
        data: the whole file.

    Returns:
        The article text by trafilatura (recall favoured, tables and comments kept); where it has
        less than 0.6 of the words outside scripts, controls, navigation and the page's footer,
        all those words instead, one block a line. Deterministic: nothing is deduplicated across
        pages.

    Raises:
        RejectError: ``not_text`` (no known encoding), ``blank_text`` (an empty
            page), ``html_unreadable`` (nested too deep to be read whole).
    """
    decoded = decode_html(data)
    tree = _parse(decoded.text)
    title = _title_of(tree)
    _drop(tree, tree.xpath("|".join(f"//{tag}" for tag in (*_SILENT, *_CONTROLS))))
    everything = _visible_text(tree)
    _drop(tree, tree.xpath(_NAVIGATION))
    visible = _visible_text(tree)
    article = _article_text(tree)
    text = article if _has_enough(article, visible) else visible
    # A page that is all navigation still has text.
    return Extracted(text or everything, title, (decoded.warning,) if decoded.warning else ())


def _drop(tree: lxml.html.HtmlElement, found: list[lxml.html.HtmlElement]) -> None:
    for element in found:
        if element.getparent() is not None:
            element.drop_tree()


def decode_html(data: bytes) -> Decoded:
    """Decode a page: byte order mark, then valid UTF-8, then what it declares, then the detector.

    UTF-8 goes before the declaration since text that is valid UTF-8 by chance does not occur,
    while servers and editors convert pages and leave the declaration behind.

    Raises:
        RejectError: ``not_text``.
    """
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = None if marked else _declared_encoding(data)
    if encoding is None or _is_utf8(data):
        return decode(data)
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        return decode(data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not (data.isascii() and b"\x1b$" in data)


def _declared_encoding(data: bytes) -> str | None:
    head = data[:_DECLARATION_BYTES]
    match = _DECLARED.search(head) or _XML_DECLARED.search(head)
    if match is None:
        return None
    try:
        name = codecs.lookup(match.group(1).decode("ascii")).name
    except (LookupError, ValueError):
        return None
    # A declaration that can be read as ASCII bytes is not in UTF-16; nor is a transform a charset.
    if name.startswith(("utf-16", "utf-32", "utf-7")) or name in _NOT_CHARSETS:
        return None
    return _AS_BROWSERS.get(name, name)


def _parse(text: str) -> lxml.html.HtmlElement:
    # Text is given as UTF-8 bytes, since lxml refuses strings that declare an encoding.
    parser = lxml.html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True
    )
    try:
        tree = lxml.html.document_fromstring(_without_nul(text).encode("utf-8"), parser=parser)
    except etree.ParserError as err:  # "Document is empty"
        raise RejectError(
            "blank_text", "there is nothing to embed: the page is empty; remove the file"
        ) from err
    except (etree.LxmlError, ValueError, AssertionError) as err:
        raise _unreadable(str(err)) from err
    # Where the parser gives up (2,048 levels deep) it drops all that follows without raising.
    fatal = parser.error_log.filter_from_level(etree.ErrorLevels.FATAL)
    if fatal:
        raise _unreadable(fatal[0].message)
    return tree


def _unreadable(reason: str) -> RejectError:
    return RejectError(
        "html_unreadable",
        f"the HTML cannot be read whole ({reason}); check the file, or give its text",
    )


def _without_nul(text: str) -> str:
    return text.replace("\x00", "\ufffd")


def _title_of(tree: lxml.html.HtmlElement) -> str | None:
    for path in (
        "string(//head/title)",
        "string(//meta[@property='og:title']/@content)",
        "string(//title[not(ancestor::svg)])",
        "string(//h1)",
    ):
        found = str(tree.xpath(path)).strip()
        if found:
            return found
    return None


def _article_text(tree: lxml.html.HtmlElement) -> str:
    # Imported here: it takes longer to load than all else that text needs.
    import trafilatura

    found = trafilatura.extract(
        copy.deepcopy(tree),
        favor_recall=True,
        include_comments=True,
        include_tables=True,
        deduplicate=False,
        with_metadata=False,
    )
    return found or ""


def _has_enough(article: str, visible: str) -> bool:
    wanted = Counter(re.findall(r"\w+", visible))
    found = Counter(re.findall(r"\w+", article))
    return (wanted & found).total() >= _ENOUGH * wanted.total() and bool(article.strip())


def _visible_text(tree: lxml.html.HtmlElement) -> str:
    """Join the text of a page, a line a block, an empty line around paragraphs."""
    out: list[str] = []
    body = tree.find("body")
    for event, element in etree.iterwalk(tree if body is None else body, events=("start", "end")):
        if element.tag in _BLOCKS:
            out.append("\n\n" if element.tag in _PARAGRAPHS else "\n")
        text = element.text if event == "start" else element.tail
        if text:
            kept = element.tag == "pre" and event == "start"
            out.append(text if kept else _SPACES.sub(" ", text))
    return _tidy("".join(out))


def _tidy(text: str) -> str:
    lines = (line.strip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
