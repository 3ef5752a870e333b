"""A notice: the same news has the same id, and any name can be written in it."""

from __future__ import annotations

import orjson
import pytest

from reembed.notifications.notices import Notice, RunPlace, kind_of

PLACE = RunPlace("archive", "a1b2", 1, 0, "/runs/archive")
REPORT = {"planned": 5, "rows": 4, "rejects": 1, "usd": 0.5, "other": "left out"}


def notice(**changes: object) -> Notice:
    given = {"event": "settled", "place": PLACE, "marks": ("settled",), "message": "4 rows"}
    return Notice(**{**given, "next": "read them", "report": REPORT, **changes})  # type: ignore[arg-type]


def test_the_body_has_counts_and_dollars_and_zeros_for_what_is_not_known() -> None:
    body = orjson.loads(notice().body(text_alone=False))
    assert body["counts"]["rows"] == 4
    assert body["counts"]["jobs"] == 0
    assert body["dollars"]["usd"] == 0.5
    assert body["report"] == "/runs/archive/report.json"
    assert "other" not in body["counts"]


def test_chat_services_get_the_line_alone() -> None:
    body = orjson.loads(notice().body(text_alone=True))
    assert body == {"text": "reembed archive a1b2 settled: 4 rows Next: read them."}


def test_before_a_run_is_committed_its_name_stands_in_the_id() -> None:
    early = RunPlace("archive", "", 0, 0, "/runs/archive")
    assert notice(place=early).id == "archive.g0.settled"
    assert notice(marks=("failed.1a2b3c4d",), event="failed").id == "a1b2.g0.failed.1a2b3c4d"
    assert notice(marks=("stuck.a", "stuck.b"), event="stuck").id == "a1b2.g0.stuck"


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    assert orjson.loads(notice(message="bad\udcffname").body(False))["message"] == "bad\\udcffname"


@pytest.mark.parametrize("other", ["17 of 40 jobs", "batches/x9 of 40 jobs"])
def test_failures_that_differ_in_numbers_are_one_kind(other: str) -> None:
    assert kind_of("3 of 4 jobs") == kind_of(other)
    assert kind_of("3 of 4 jobs") != kind_of("3 of 4 shards")
