"""The words of a task, and titles that cannot break them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.models import MODELS, TASKS
from reembed.config.tasks import (
    MAX_TITLE_CHARS,
    SYMMETRIC_TASKS,
    all_tasks,
    clean_title,
    surrounding_text,
    wrap_text,
)


def test_every_task_of_the_model_table_has_words() -> None:
    assert set(all_tasks()) == set(TASKS)
    assert set(SYMMETRIC_TASKS) < set(TASKS)
    for spec in MODELS.values():
        assert set(spec.tasks) <= set(all_tasks())


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        (None, None),
        ("", None),
        (" \n\t ", None),
        ("Rules", "Rules"),
        ("a\r\nb\tc   d", "a b c d"),
        ("a | text: b", "a / text: b"),
        ("nul\x00 and\x1b escape", "nul and escape"),
        ("line\u2028separator\u0085", "line separator"),
        ("bad\udcffname", "bad name"),
        ("x" * 300, "x" * (MAX_TITLE_CHARS - 1) + "…"),
        ("日本 🙂", "日本 🙂"),
    ],
)
def test_titles_are_made_harmless(title: str | None, clean: str | None) -> None:
    assert clean_title(title) == clean


@given(st.text(st.characters()))
def test_a_clean_title_is_one_line_of_utf8_and_stays_clean(title: str) -> None:
    clean = clean_title(title) or ""
    clean.encode()
    assert "|" not in clean
    assert len(clean.splitlines()) <= 1
    assert len(clean) <= MAX_TITLE_CHARS
    assert (clean_title(clean) or "") == clean


@given(st.sampled_from(TASKS), st.text(), st.text())
def test_the_text_stands_last_and_untouched(task: str, title: str, text: str) -> None:
    wrapped = wrap_text("prefix", task, title, text)
    assert wrapped == surrounding_text("prefix", task, title) + text
    assert wrap_text("field", task, title, text) == text


def test_no_title_is_said_to_be_none() -> None:
    assert wrap_text("prefix", "retrieval_document", " ", "a") == "title: none | text: a"


def test_queries_carry_no_title() -> None:
    assert wrap_text("prefix", "retrieval_query", "T", "a") == "task: search result | query: a"


def test_the_title_of_a_field_model_counts_only_with_documents() -> None:
    assert surrounding_text("field", "retrieval_document", "A\nB") == "A B"
    assert surrounding_text("field", "clustering", "A\nB") == ""


def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"'poetry' has no words; use one of retrieval_document"):
        wrap_text("prefix", "poetry", None, "a")
