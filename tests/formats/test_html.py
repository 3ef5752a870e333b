"""Readable text of pages: no content is lost, nothing around it is kept."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.errors import RejectError
from reembed.formats.base import Input
from reembed.formats.html import decode_html, extract_html
from reembed.formats.table import format_named
from reembed.formats.text import cut_extracted

ARTICLE = " ".join(f"Sentence {n} of the article says something of its own." for n in range(40))
PAGE = f"""<!doctype html><html><head><title>The &amp; title</title>
<script>var hidden = "scripted";</script><style>.styled {{color: red}}</style></head><body>
<nav><a href="/">Homelink</a> <a href="/a">Aboutlink</a></nav>
<article><h1>The heading</h1><p>{ARTICLE}</p>
<table><tr><td>cell one</td><td>cell two</td></tr></table></article>
<footer>Footerwords 2026</footer><script>alert("late")</script></body></html>"""


def test_an_article_without_what_stands_around_it():
    page = extract_html(PAGE.encode())
    assert page.title == "The & title"
    for kept in ("Sentence 0 of", "Sentence 39 of", "The heading", "cell one", "cell two"):
        assert kept in page.text
    for dropped in ("scripted", "styled", "Homelink", "Footerwords", "alert"):
        assert dropped not in page.text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<p>hi</p>", ["hi"]),
        ("<ul><li>alpha<li>beta</ul>", ["alpha", "beta"]),
        ("<dl><dt>term<dd>meaning</dl>", ["term", "meaning"]),
        ("<table><tr><td>1<td>2<tr><td>3</table>", ["1", "2", "3"]),
        ("<div>bare <b>bold</b> tail</div>", ["bare", "bold", "tail"]),
        ("<form><p>all in a form</p></form>", ["form"]),
        ("<pre>def f():\n    return 1</pre>", ["return"]),
        ("<nav>only navigation</nav>", ["navigation"]),
        ("<div hidden>folded answer</div>", ["folded", "answer"]),
        ("text without any tag &mdash; <br>next", ["without", "—", "next"]),
        ("<h1>Only a heading</h1>", ["heading"]),
        ("<p>日本語のページ</p>", ["日本語のページ"]),
    ],
)
def test_short_and_odd_pages_lose_nothing(body, words):
    text = extract_html(f"<html><body>{body}</body></html>".encode()).text
    for word in words:
        assert word in text


def test_blocks_are_lines_and_inline_is_not():
    page = extract_html(b"<html><body><p>one <i>two</i> three</p><p>four</p><div>five</div></body>")
    assert [line for line in page.text.split("\n") if line] == ["one two three", "four", "five"]


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("<title> A\n B </title>", "A\n B"),
        ("<meta property='og:title' content='Shared'>", "Shared"),
        ("", "First"),
        ("<svg><title>icon</title></svg>", "First"),
    ],
)
def test_where_the_title_comes_from(head, title):
    page = f"<html><head>{head}</head><body><h1>First</h1><p>text</p></body></html>"
    assert extract_html(page.encode()).title == title


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("<meta charset='iso-8859-1'><p>café € “x”".encode("cp1252"), "café € “x”"),
        (
            "<meta http-equiv=c content='text/html; charset=koi8-r'><p>погода".encode("koi8_r"),
            "погода",
        ),
        ("<?xml version='1.0' encoding='shift_jis'?><html><p>日本語".encode("cp932"), "日本語"),
        ("<meta charset=latin1><p>café".encode(), "café"),  # converted, declaration left behind
        ("<meta charset=nonsense><p>café".encode(), "café"),
        (b"<meta charset=rot13><p>plain", "plain"),
        ("<p>café".encode("utf-16"), "café"),
        ("\ufeff<p>café".encode(), "café"),
    ],
)
def test_encodings(data, word):
    assert word in decode_html(data).text
    assert word in extract_html(data).text


def test_undeclared_legacy_pages_are_detected_and_said():
    page = extract_html("<p>Les élèves français étudient à l'école, ça va.</p>".encode("cp1252"))
    assert "élèves français" in page.text
    assert page.warnings == ("not UTF-8; decoded as cp1252, which is a guess",)


def test_what_cannot_be_read_whole_is_refused():
    deep = b"<html><body>" + b"<div>x " * 5000 + b"end"
    with pytest.raises(RejectError) as caught:
        extract_html(deep)
    assert caught.value.code == "html_unreadable"
    assert "check the file" in caught.value.message


@pytest.mark.parametrize("data", [b"   ", b"<!-- only a comment -->", b"<!doctype html>"])
def test_an_empty_page_is_blank(policy_of, data):
    with pytest.raises(RejectError) as caught:
        cut_extracted(io.BytesIO(data), Input(format_named("html"), "a.html"), policy_of())
    assert caught.value.code == "blank_text"


def test_a_wrong_declaration_gives_way_to_the_detector():
    data = "<meta charset=euc-jp><p>Les élèves français étudient à l'école.</p>".encode("cp1252")
    found = decode_html(data)
    assert "élèves français" in found.text
    assert found.encoding == "cp1252"


def test_a_page_full_of_links_and_little_else_keeps_its_words():
    links = "".join(f"<li><a href='/{n}'>Chapter number {n}</a></li>" for n in range(60))
    text = extract_html(f"<html><body><ul>{links}</ul></body></html>".encode()).text
    assert all(f"Chapter number {n}" in text for n in range(60))


def test_long_and_deep_pages_are_read_whole():
    nested = b"<html><body>" + b"<div>x " * 1500 + b"deep" + b"</div>" * 1500 + b"<p>after</p>"
    words = extract_html(nested).text.split()
    assert words.count("x") == 1500
    assert words[-2:] == ["deep", "after"]


def test_the_same_page_gives_the_same_text_again_and_again():
    texts = {extract_html(PAGE.encode()).text for _ in range(5)}
    assert len(texts) == 1


TAGS = st.sampled_from(["p", "div", "b", "li", "td", "nav", "pre", "h2", "script", "body", "zz"])
MARKUP = st.lists(
    st.one_of(
        TAGS.map(lambda t: f"<{t}>"),
        TAGS.map(lambda t: f"</{t}>"),
        st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=8),
        st.sampled_from(["<!--", "-->", "&amp;", "&#0;", "&#xD800;", "<![CDATA[", "<", "\n"]),
    ),
    max_size=20,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(MARKUP)
def test_broken_markup_gives_text_or_a_reject(markup):
    data = f"<html><body>w0rd {markup}".encode("utf-8", "replace")
    assert "w0rd" in extract_html(data).text
