"""Messages of BigQuery's refusals, and which of its errors may pass."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions as api

from reembed.bigquery.connections import Policy
from reembed.bigquery.errors import is_transient, job_failed_before, job_failure, reason_of
from reembed.bigquery.names import TableName
from reembed.errors import BigQueryDeniedError, BigQueryError, JobFailedError, StatementRefusedError
from support.scripted_http import Answer, refusal

T = TableName("my-project", "data", "items")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refusal(403, "accessDenied"), BigQueryDeniedError, "roles/bigquery.dataViewer"),
        (refusal(403, ""), BigQueryDeniedError, "roles/bigquery.jobUser"),
        (refusal(401, "authError"), BigQueryError, r"\(401\)"),
        (refusal(403, "quotaExceeded"), BigQueryError, "a quota of BigQuery is used up"),
        (refusal(400, "invalid"), StatementRefusedError, "check the columns"),
        (refusal(400, "invalidQuery"), StatementRefusedError, "check the statement"),
    ],
)
def test_a_refusal_is_told_with_its_remedy(
    scripted: Any, answer: Answer, kind: type[BigQueryError], words: str
) -> None:
    bigquery, http = scripted(answer)
    with pytest.raises(kind, match=words) as caught:
        bigquery.table(T)
    assert str(caught.value).startswith(f"{T}: cannot read its description")
    assert "http" not in str(caught.value)
    assert len(http.sent) == 1


@pytest.mark.parametrize(
    "first",
    [
        refusal(503, "backendError"),
        refusal(429, "rateLimitExceeded"),
        refusal(403, "rateLimitExceeded"),
        Answer(error=requests.ConnectionError("refused")),
        Answer(error=requests.Timeout("slow")),
    ],
)
def test_what_may_pass_is_asked_again(scripted: Any, first: Answer) -> None:
    bigquery, http = scripted(first, refusal(404, "notFound"))
    assert bigquery.table(T) is None
    assert len(http.sent) == 2


def test_what_does_not_pass_is_given_up(scripted: Any) -> None:
    policy = Policy(first=0.001, deadline=0.0)
    bigquery, http = scripted(*[refusal(503, "backendError")] * 3, policy=policy)
    with pytest.raises(BigQueryError, match="BigQuery fails; check the network"):
        bigquery.table(T)
    assert len(http.sent) < 3


def test_the_reason_decides_not_the_status() -> None:
    limited = api.Forbidden("slow down", errors=[{"reason": "rateLimitExceeded"}])
    denied = api.Forbidden("no", errors=[{"reason": "accessDenied"}])
    assert (reason_of(limited), is_transient(limited)) == ("rateLimitExceeded", True)
    assert (reason_of(denied), is_transient(denied)) == ("accessDenied", False)
    assert reason_of(ValueError()) == reason_of(api.Forbidden("no")) == ""


def test_a_failed_job_is_named_in_one_line() -> None:
    result = {"reason": "invalid", "message": "bad\n\nrow"}
    first = job_failure(result, "p.d.t", "j1")
    assert str(first).startswith("p.d.t: job j1 failed: bad row (invalid); ")
    again = job_failed_before(result, "p.d.t", "j1")
    assert isinstance(again, JobFailedError)
    assert str(again).endswith("bad row (invalid); use another job id")
