"""Jobs found again, lost answers, and the messages of jobs that failed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import requests

from reembed.bigquery.base import Field, Load, Statement
from reembed.bigquery.connections import Policy
from reembed.bigquery.names import TableName
from reembed.errors import (
    BigQueryConflictError,
    BigQueryDeniedError,
    BigQueryError,
    BigQueryNotFoundError,
    JobFailedError,
    StatementRefusedError,
)
from support.scripted_http import Answer, refusal

T = TableName("my-project", "data", "items")
LOAD = Load(T, (Field("key", "STRING"),), ("gs://b/a.parquet",))
REFERENCE = {"projectId": "my-project", "datasetId": "data"}
DATASET = Answer({"datasetReference": REFERENCE, "location": "EU"})


def job(state: str, error: dict[str, str] | None = None) -> Answer:
    status: dict[str, Any] = {"state": state} | ({"errorResult": error} if error else {})
    table = {"projectId": "my-project", "datasetId": "data", "tableId": "items"}
    return Answer(
        {
            "jobReference": {"projectId": "pays", "jobId": "j1", "location": "EU"},
            "configuration": {"jobType": "LOAD", "load": {"destinationTable": table}},
            "status": status,
        }
    )


TAKEN = refusal(409, "duplicate", "Already Exists: Job pays:EU.j1")


def test_a_job_is_waited_for_with_growing_pauses(scripted: Any) -> None:
    pauses: list[float] = []
    policy = Policy(first=1.0, sleep=pauses.append)
    states = ["PENDING", *["RUNNING"] * 9, "DONE"]
    bigquery, http = scripted(DATASET, *map(job, states), policy=policy)
    assert bigquery.load(LOAD, "j1").state == "DONE"
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 10.0)
    assert "location=EU" in http.sent[-1].query


def test_a_job_that_never_ends_is_left_and_named(scripted: Any) -> None:
    policy = Policy(first=1.0, longest=2.0, sleep=lambda _: None)
    bigquery, _ = scripted(DATASET, *[job("RUNNING")] * 5, policy=policy)
    with pytest.raises(BigQueryError, match=r"job j1 still runs after .* hours; the same command"):
        bigquery.load(LOAD, "j1")


def test_an_id_that_is_taken_stands_for_its_job(scripted: Any) -> None:
    bigquery, http = scripted(DATASET, TAKEN, job("RUNNING"), job("DONE"))
    assert bigquery.load(LOAD, "j1").state == "DONE"
    assert [sent.method for sent in http.sent] == ["GET", "POST", "GET", "GET"]
    bigquery, _ = scripted(DATASET, refusal(400, "invalid", "Duplicate key"), job("DONE"))
    assert bigquery.load(LOAD, "j1").state == "DONE"


def test_an_id_whose_job_had_failed_says_so_and_is_not_tried_again(scripted: Any) -> None:
    error = {"reason": "backendError", "message": "try later"}
    bigquery, http = scripted(DATASET, TAKEN, job("DONE", error))
    with pytest.raises(JobFailedError, match="job j1 had failed already: try later") as caught:
        bigquery.load(LOAD, "j1")
    assert (caught.value.job_id, caught.value.reason) == ("j1", "backendError")
    assert "use another job id" in str(caught.value)
    assert len(http.sent) == 3
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.job_id, again.reason, str(again)) == ("j1", "backendError", str(caught.value))


def test_an_answer_that_was_lost_begins_no_second_job(scripted: Any) -> None:
    lost = Answer(error=requests.ConnectionError("reset"))
    bigquery, http = scripted(DATASET, lost, TAKEN, job("DONE"))
    assert bigquery.load(LOAD, "j1").state == "DONE"
    ids = [sent.json["jobReference"]["jobId"] for sent in http.sent if sent.method == "POST"]
    assert ids == ["j1", "j1"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("invalid", JobFailedError),
        ("backendError", JobFailedError),
        ("stopped", JobFailedError),
        ("duplicate", BigQueryConflictError),
        ("notFound", BigQueryNotFoundError),
        ("accessDenied", BigQueryDeniedError),
        ("invalidQuery", StatementRefusedError),
        ("bytesBilledLimitExceeded", StatementRefusedError),
    ],
)
def test_a_job_that_fails_names_itself_and_the_table(
    scripted: Any, reason: str, kind: type[BigQueryError]
) -> None:
    bigquery, _ = scripted(DATASET, job("DONE", {"reason": reason, "message": "it said so"}))
    with pytest.raises(kind) as caught:
        bigquery.load(LOAD, "j1")
    for part in (str(T), "job j1", "it said so", reason):
        assert part in str(caught.value)


def test_a_missing_dataset_is_told_before_a_load(scripted: Any) -> None:
    bigquery, http = scripted(refusal(404, "notFound", "Not found: Dataset my-project:data"))
    with pytest.raises(BigQueryNotFoundError, match=r"my-project\.data: cannot read the dataset"):
        bigquery.load(LOAD, "j1")
    assert len(http.sent) == 1


def test_a_job_that_is_nowhere_is_none(scripted: Any) -> None:
    bigquery, http = scripted(refusal(404, "notFound"))
    assert bigquery.job("j1", "EU") is None
    assert "location=EU" in http.sent[0].query


@pytest.mark.parametrize(
    ("refused", "kind"),
    [
        (refusal(409, "duplicate"), BigQueryConflictError),
        (refusal(400, "invalidQuery"), StatementRefusedError),
    ],
)
def test_a_refusal_that_is_about_no_job_stays_what_it_is(
    scripted: Any, refused: Answer, kind: type[BigQueryError]
) -> None:
    bigquery, _ = scripted(refused, refusal(404, "notFound"))
    with pytest.raises(kind, match="query: cannot begin the job"):
        bigquery.query(Statement("CREATE TABLE x"), "j1")
