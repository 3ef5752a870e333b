"""Decoding: marks, UTF-16, legacy encodings, broken UTF-8, and what is no text."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import RejectError
from reembed.formats.charset import decode, looks_like_text

RIGHTS = {
    "fr": "Où est passé l'été ? Les élèves français étudient à l'école. Ça va très bien, merci.",
    "de": "Die Größe der Häuser überrascht viele Gäste, während die Straßen schön sind.",
    "ru": "Сегодня хорошая погода, и мы пойдём гулять в парк. Все люди рождаются свободными.",
    "pl": "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi pod względem swej godności.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "zh": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "tw": "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神互相對待。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "ar": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdan.",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์",
    "en": "A price of £5 is “fair” — so they say.",
}
LEGACY = [
    *(("fr", "cp1252"), ("fr", "mac_roman"), ("de", "cp1252"), ("en", "cp1252")),
    *(("ru", "cp1251"), ("ru", "koi8_r"), ("ru", "cp866"), ("ru", "iso8859_5")),
    *(("pl", "cp1250"), ("pl", "iso8859_2"), ("el", "cp1253"), ("el", "iso8859_7")),
    *(("ja", "cp932"), ("ja", "euc_jp"), ("ja", "iso2022_jp"), ("zh", "gb18030")),
    *(("tw", "big5"), ("ko", "cp949"), ("he", "cp1255"), ("ar", "cp1256")),
    *(("tr", "cp1254"), ("th", "cp874")),
]


@pytest.mark.parametrize(("language", "encoding"), LEGACY)
def test_legacy_encodings_are_found_and_named(language, encoding):
    found = decode(RIGHTS[language].encode(encoding))
    assert found.text == RIGHTS[language]
    assert found.warning is not None
    assert found.encoding in found.warning
    assert RIGHTS[language].encode(encoding).decode(found.encoding) == found.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("language", RIGHTS)
def test_unicode_with_and_without_mark(language, encoding):
    found = decode(RIGHTS[language].encode(encoding))
    assert found.text == RIGHTS[language]
    assert (found.warning is None) == encoding.startswith("utf-8")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_mark_where_it_is_certain(encoding):
    found = decode(RIGHTS["de"].encode(encoding))
    assert found.text == RIGHTS["de"]
    assert encoding in str(found.warning)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_utf8_comes_back_as_it_is(text):
    if text.startswith("\ufeff"):
        return
    assert decode(text.encode()).text == text


def test_newlines_and_ends_stay():
    text = " a\r\nb\rc\n\u2028d \n\n"
    assert decode(text.encode()).text == text


def test_one_broken_byte_in_utf8_is_replaced_and_said():
    data = bytearray((RIGHTS["ru"] * 20).encode())
    at = data.index(b" ", 100)
    data[at] = 0xFF
    found = decode(bytes(data))
    assert found.encoding == "utf-8"
    assert found.text == bytes(data).decode("utf-8", "replace")
    assert f"1 broken UTF-8 sequence(s), the first at byte {at}," in str(found.warning)


def test_a_real_replacement_character_is_no_broken_byte():
    data = ("\ufffd" + RIGHTS["ru"]).encode() + b"\xd0"
    assert "1 broken" in str(decode(data).warning)


def test_one_stray_byte_in_ascii_is_a_letter():
    found = decode(b"The caf\xe9 around the corner.\n" * 3)
    assert found.text.startswith("The café")
    assert found.encoding == "cp1252"


def test_what_is_only_late_in_a_large_file_is_seen():
    data = b"plain words only\n" * 60_000 + RIGHTS["ru"].encode("cp1251")
    assert decode(data).text.endswith(RIGHTS["ru"])


@pytest.mark.parametrize(
    "data",
    [
        random.Random(2).randbytes(4096),
        b"text before " * 9000 + random.Random(3).randbytes(40_000),
        b"\x00\x01\x02\x03",
        b"\xff\xfea\x00\x00\xd8b\x00",
        "a".encode("utf-32") + b"\x00",
    ],
)
def test_binary_is_refused(data):
    with pytest.raises(RejectError) as caught:
        decode(data)
    assert caught.value.code == "not_text"
    assert "UTF-8" in caught.value.message


def _decoded_or_code(data):
    try:
        return decode(data).text
    except RejectError as err:
        return err


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_refused(data):
    found = _decoded_or_code(data)
    if isinstance(found, RejectError):
        assert found.code == "not_text"
    else:
        found.encode("utf-8")  # no lone surrogates


def test_looks_like_text():
    assert looks_like_text(b"")
    assert looks_like_text("h\u00e9llo".encode("utf-16-le"))
    assert looks_like_text(b"\x1b[31mred\x1b[0m in a log\n")
    assert not looks_like_text(random.Random(4).randbytes(2000))


def test_a_marked_file_with_a_broken_byte_is_mended_too():
    found = decode(b"\xef\xbb\xbfHallo \xff Welt")
    assert found.text == "Hallo \ufffd Welt"
    assert found.warning == "1 broken UTF-8 sequence(s), the first at byte 6, became U+FFFD"


def test_escapes_of_a_terminal_are_not_japanese():
    text = "a log with \x1b$ and \x1b[0m in it, and more words than marks. " * 4
    assert decode(text.encode()).text == text


def test_the_guess_holds_for_the_whole_file_not_only_its_sample():
    # Far behind the sample stands a byte (0x98) that cp1251 does not have.
    data = (RIGHTS["ru"] * 800).encode("cp1251") + b" \x98 "
    found = decode(data)
    assert found.text == RIGHTS["ru"] * 800 + " \ufffd "
    assert "cp1251, which is a guess; 1 byte(s) became U+FFFD" in str(found.warning)


@pytest.mark.parametrize("ending", [b"\xd8\x00", b"\x00\xd8"])
def test_utf16_cut_within_a_pair_without_mark_is_refused(ending):
    order = "be" if ending[0] else "le"
    with pytest.raises(RejectError):
        decode(RIGHTS["de"].encode(f"utf-16-{order}") + ending)
