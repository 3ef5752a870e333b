"""A view that readers use is changed only from what was seen."""

from __future__ import annotations

from typing import Any

import pytest

from reembed.bigquery.names import TableName
from reembed.bigquery.views import find_view, point_view, view_statement
from reembed.errors import RunFailedError, UsageError
from support.scripted_http import Answer, refusal

V = TableName("my-project", "data", "current")


def shown(kind: str, sql: str = "") -> Answer:
    reference = {"projectId": "my-project", "datasetId": "data", "tableId": "current"}
    return Answer({"tableReference": reference, "type": kind, "etag": "e1", "view": {"query": sql}})


def test_a_view_is_found_and_a_free_name_is_none(scripted: Any) -> None:
    bigquery, _ = scripted(shown("VIEW", "SELECT 1"), refusal(404, "notFound"))
    found = find_view(bigquery, V)
    assert found is not None
    assert (found.view_sql, found.etag) == ("SELECT 1", "e1")
    assert find_view(bigquery, V) is None


def test_a_table_under_the_name_is_refused(scripted: Any) -> None:
    bigquery, _ = scripted(shown("TABLE"))
    with pytest.raises(UsageError, match=r"my-project\.data\.current is a TABLE; name a view"):
        find_view(bigquery, V)


def test_a_change_by_another_is_shown_and_not_undone(scripted: Any) -> None:
    seen, theirs = shown("VIEW", "SELECT 1"), shown("VIEW", "SELECT 2")
    bigquery, http = scripted(seen, refusal(412, ""), theirs, theirs)
    found = find_view(bigquery, V)
    with pytest.raises(RunFailedError, match=r"changed by somebody else.*it says now: SELECT 2"):
        point_view(bigquery, V, "SELECT 3", found)
    assert [sent.method for sent in http.sent].count("PUT") <= 1


def test_no_statement_removes_the_view(scripted: Any) -> None:
    bigquery, http = scripted(Answer({}))
    point_view(bigquery, V, "", None)
    assert [sent.method for sent in http.sent] == ["DELETE"]


def test_the_statement_is_shown_as_people_would_write_it() -> None:
    assert view_statement(V, "SELECT 1") == f"CREATE OR REPLACE VIEW {V.sql} AS\nSELECT 1"
    assert view_statement(V, "") == f"DROP VIEW {V.sql}"
