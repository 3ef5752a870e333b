"""Decode bytes to text: byte order marks, UTF-8, UTF-16, legacy encodings by a detector.

Character offsets of chunks point into ``data.decode(encoding)`` without the byte order mark. No
newline is normalised and nothing is trimmed. To get the same string again, use the Python codec
named in the warning of the row, or ``utf-8-sig`` where there is none; where broken UTF-8 was
mended, ``errors="replace"``.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import charset_normalizer

from reembed.errors import RejectError

# Longer first: the mark of UTF-32 LE begins with that of UTF-16 LE.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_REPLACEMENT = "\ufffd".encode()
_SAMPLE = 1 << 15
_CONTROLS = bytes(sorted({*range(0x20), 0x7F} - set(b"\t\n\r\f\x1b")))
_MOST_CONTROLS = 0.01
_MOST_BROKEN = 0.001
_NON_ASCII_LINE = re.compile(rb"[^\n]{0,4096}[\x80-\xff][^\n]{0,4096}\n?")
# Those that texts are found in, for the detector's full list makes short texts ambiguous (EBCDIC).
# Where it finds several about equal, the first of this order is taken: it breaks ties by the
# alphabet, so that French comes out as cp1250. cp1255 stands before cp1251 since Hebrew passes
# for Russian but Russian does not pass for Hebrew; euc_jp before cp949 for the same reason.
_LEGACY = [
    *("cp1252", "cp1250", "iso8859_2", "cp1254", "cp1253", "iso8859_7", "cp1255", "cp1256"),
    *("cp1251", "koi8_r", "koi8_u", "iso8859_5", "cp866", "cp1257", "cp932", "euc_jp", "cp949"),
    *("gb18030", "big5", "cp874", "mac_roman", "mac_cyrillic", "cp437", "cp850", "cp852"),
]
_CHAOS_TIE, _COHERENCE_TIE = 0.02, 0.15


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the Python codec that made it, and what a reader of the row should know."""

    text: str
    encoding: str
    warning: str | None = None


def decode(data: bytes) -> Decoded:
    """Decode all of a text.

    Args:
        data: the whole file.

    Returns:
        The text without byte order mark. Bytes that do not fit, in a text that is otherwise
        plainly UTF-8 (or, to a thousandth, in the detected encoding), become U+FFFD, with a
        warning that counts them.

    Raises:
        RejectError: ``not_text`` when the bytes are no text in any known encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding)
    unmarked = _utf16_without_mark(data)
    if unmarked is not None:
        return unmarked
    _refuse_binary(data)
    try:
        return _escaped_japanese(data) or Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _mended_utf8(data) or _detected(data)


def looks_like_text(head: bytes) -> bool:
    """Tell whether the first bytes of a file may be text: a mark, UTF-16, or few control bytes."""
    if any(head.startswith(mark) for mark, _ in _MARKS) or _utf16_name(head) is not None:
        return True
    return not _too_many_controls(head)


def _decode_marked(data: bytes, encoding: str) -> Decoded:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as err:
        if encoding == "utf-8-sig":
            return _replaced(data, encoding)
        raise RejectError(
            "not_text",
            f"begins with the byte order mark of {encoding.upper()}, but byte {err.start} does "
            f"not fit it ({err.reason}); save the file again as UTF-8",
        ) from err
    named = None if encoding == "utf-8-sig" else f"decoded as {encoding}"
    return Decoded(text, encoding, named)


def _utf16_name(data: bytes) -> str | None:
    """Name the byte order if every second byte is nearly always zero, as in Latin UTF-16."""
    sample = data[: _SAMPLE & ~1]
    pairs = len(sample) // 2
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if pairs < 4 or (len(data) % 2 and len(data) < _SAMPLE):
        return None
    if odd >= 0.7 * pairs and even <= 0.01 * pairs:
        return "utf-16-le"
    if even >= 0.7 * pairs and odd <= 0.01 * pairs:
        return "utf-16-be"
    return None


def _utf16_without_mark(data: bytes) -> Decoded | None:
    encoding = _utf16_name(data)
    if encoding is None:
        return None
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    if _too_many_controls(text[:_SAMPLE].encode("utf-8")):
        return None
    return Decoded(text, encoding, f"no byte order mark; decoded as {encoding}")


def _too_many_controls(data: bytes) -> bool:
    sample = data[:_SAMPLE]
    controls = len(sample) - len(sample.translate(None, delete=_CONTROLS))
    return controls > _MOST_CONTROLS * len(sample)


def _refuse_binary(data: bytes) -> None:
    # The end and the middle too: a text with a binary tail is no text.
    middle = len(data) // 2
    for sample in (data[:_SAMPLE], data[middle : middle + _SAMPLE], data[-_SAMPLE:]):
        if _too_many_controls(sample):
            raise RejectError(
                "not_text",
                "the bytes are not text in UTF-8, UTF-16 or a known legacy encoding (too many "
                "control bytes); remove the file from the source, or give it as UTF-8",
            )


def _escaped_japanese(data: bytes) -> Decoded | None:
    """ISO-2022-JP is pure ASCII with escapes, and so would pass as UTF-8."""
    if b"\x1b$" not in data or not data.isascii():
        return None
    try:
        text = data.decode("iso2022_jp")
    except UnicodeDecodeError:
        return None
    return Decoded(text, "iso2022_jp", "decoded as iso2022_jp")


def _mended_utf8(data: bytes) -> Decoded | None:
    """UTF-8 with a few broken bytes, as a cut or a bad disk leaves it; None if it is none.

    A legacy text has hardly any well-formed multi-byte sequence by chance; three for each broken
    byte are certain. Without them (ASCII with one stray byte) a legacy encoding is the better
    guess, since that byte then means a letter.
    """
    broken = data.decode("utf-8", "replace").count("\ufffd") - data.count(_REPLACEMENT)
    leads = len(data) - len(data.translate(None, delete=bytes(range(0xC2, 0xF5))))
    if 3 * broken > leads - broken:
        return None
    return _replaced(data, "utf-8")


def _replaced(data: bytes, encoding: str) -> Decoded:
    text = data.decode(encoding, "replace")
    broken = text.count("\ufffd") - data.count(_REPLACEMENT)
    try:
        data.decode(encoding)
        first = 0
    except UnicodeDecodeError as err:
        first = err.start
    return Decoded(
        text,
        encoding,
        f"{broken} broken UTF-8 sequence(s), the first at byte {first}, became U+FFFD",
    )


def _detected(data: bytes) -> Decoded:
    candidates = _candidates(data)
    for encoding in candidates:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return Decoded(text, encoding, f"not UTF-8; decoded as {encoding}, which is a guess")
    for encoding in candidates[:1]:
        text = data.decode(encoding, "replace")
        broken = text.count("\ufffd")
        if broken <= _MOST_BROKEN * len(text):
            how = f"decoded as {encoding}, which is a guess; {broken} byte(s) became U+FFFD"
            return Decoded(text, encoding, f"not UTF-8; {how}")
    raise RejectError(
        "not_text",
        "the bytes are not text in UTF-8, UTF-16 or a known legacy encoding; remove the file "
        "from the source, or give it as UTF-8",
    )


def _candidates(data: bytes) -> list[str]:
    sample = _telling_sample(data)
    found = charset_normalizer.from_bytes(sample, cp_isolation=_LEGACY, threshold=0.3)
    matches = list(found)
    if not matches:
        return []
    chaos = min(m.chaos for m in matches) + _CHAOS_TIE
    coherence = max(m.coherence for m in matches if m.chaos <= chaos) - _COHERENCE_TIE
    tied = [m for m in matches if m.chaos <= chaos and m.coherence >= coherence]
    if any(m.encoding == "cp1254" and m.language == "Turkish" for m in tied):
        return ["cp1254"]
    best = {name for m in tied for name in (m.encoding, *m.could_be_from_charset)}
    rest = [m.encoding for m in matches if m.encoding not in best]
    return sorted(best & set(_LEGACY), key=_LEGACY.index) + rest


def _telling_sample(data: bytes) -> bytes:
    """Take the lines with more than ASCII, up to a bound: the rest is alike in all encodings."""
    lines: list[bytes] = []
    size = 0
    for match in _NON_ASCII_LINE.finditer(data):
        lines.append(match.group())
        size += len(match.group())
        if size >= _SAMPLE:
            break
    return b"".join(lines)
