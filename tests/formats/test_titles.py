"""Titles: headings, names of files, and what is made of them for one line of a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.tasks import clean_title
from reembed.formats.titles import title_of_name, title_of_text


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\nText", "One"),
        ("Text first\n\n## *Two* `b` [three](http://x) ##\n", "Two b three"),
        ("Three\n=====\nText", "Three"),
        ("```\n# no heading\n```\n# Four\n", "Four"),
        ("---\ntitle: 'Five'\n---\n# Other\n", "Five"),
        ("---\ndate: x\n---\n# Six\n", "Six"),
        ("#hashtag only", None),
        ("a | table\n--|--\n", None),
        ("no heading at all", None),
        ("", None),
    ],
)
def test_markdown(text, title):
    assert title_of_text(text, markdown=True) == title


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("A Heading\n\nAnd the text.", "A Heading"),
        ("\n\n  A Heading\n---\nAnd the text.", "A Heading"),
        ("A sentence that ends.\n\nAnd another.", None),
        ("First line\nsecond line\nthird line", None),
        ("x" * 101 + "\n\ntext", None),
        ("-----\n\ntext", None),
        ("Only one line", None),
        ("   \n \n", None),
    ],
)
def test_plain_text(text, title):
    assert title_of_text(text, markdown=False) == title


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("/data/annual_report 2026.final.pdf", "annual report 2026.final"),
        ("gs://bucket/a/b%20c#1.txt", "b%20c#1"),
        ("https://host/a/b%20c.txt?x=1", "b c"),
        ("C:\\docs\\Über uns.docx", "Über uns"),
        ("/data/.profile", ".profile"),
        ("/data/bad\udcff\nname.txt", "bad name"),
        ("", None),
        ("/", None),
    ],
)
def test_names(name, title):
    assert title_of_name(name) == title


def test_cleaning():
    assert clean_title("a | b\n\tc\x00d\u2028e  f ") == "a / b c d e f"
    assert clean_title(" \u200d \x07") is None
    assert clean_title(None) is None
    assert clean_title("می\u200cخواهم") == "می\u200cخواهم"


def test_long_titles_are_cut_at_a_word():
    cut = clean_title("word " * 100)
    assert cut is not None
    assert len(cut) <= 200
    assert cut.endswith("word…")
    assert len(clean_title("x" * 500) or "") == 200


@given(st.text(max_size=400))
def test_a_title_is_one_short_line_and_stays_as_it_is(text):
    cleaned = clean_title(text)
    if cleaned is not None:
        assert 0 < len(cleaned) <= 200
        assert len(cleaned.splitlines()) == 1
        assert "|" not in cleaned
        assert clean_title(cleaned) == cleaned
        cleaned.encode("utf-8")
