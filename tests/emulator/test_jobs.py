from __future__ import annotations

import pytest


def message(answer, code=400):
    assert answer.status_code == code, answer.text
    return answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "batch: is required"),
        ({"batch": {"inputConfig": {"fileName": "files/x"}}}, "display_name: is required"),
        ({"batch": {"displayName": "", "inputConfig": {}}}, "display_name: is required"),
        ({"batch": {"displayName": "x"}}, "exactly one of"),
        ({"batch": {"displayName": "x", "inputConfig": {}}}, "exactly one of"),
        (
            {"batch": {"displayName": "x", "inputConfig": {"fileName": "f", "requests": {}}}},
            "oneof",
        ),
        ({"batch": {"displayName": "x", "inputConfig": {"requests": {}}}}, "at least one request"),
        ({"batch": {"displayName": "x", "inputConfig": {"fileName": "f"}}}, "begin with 'files/'"),
        ({"batch": {"displayName": "x", "name": "x", "color": 1}}, 'Unknown name "color"'),
        ({"batch": {"displayName": "x", "model": "models/other"}}, "is not the model of the URL"),
        ({"batch": {"displayName": "x", "priority": "high"}}, "TYPE_INT64"),
        ({"requests": []}, 'Unknown name "requests"'),
    ],
)
def test_create_refuses(api, body, reason):
    path = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"
    assert reason in message(api.http.post(path, json=body))


def test_create_refuses_bad_inline_requests(api, request_of):
    bad = {"requests": {"requests": [{"request": request_of("a", dims=5)}]}}
    assert "Unknown name \"dims\" at 'batch.input_config.requests.requests[0].request'" in message(
        api.create(bad)
    )
    other = {"requests": {"requests": [{"request": request_of("a", model="models/x")}]}}
    assert "line 1" in message(api.create(other))
    assert "request is missing" in message(api.create({"requests": {"requests": [{}]}}))


@pytest.mark.parametrize(
    "mime_type", ["application/json", "text/plain", "application/octet-stream"]
)
def test_create_refuses_other_input_types(api, mime_type):
    file = api.upload(b"{}\n", mime_type=mime_type)
    assert mime_type in message(api.create({"fileName": file["name"]}))


def test_create_needs_file_and_model(api, request_of):
    message(api.create({"fileName": "files/nobody"}), 404)
    assert "is not found for API version v1beta" in message(
        api.create_inline_job([request_of("a")], model="text-embedding-004"), 404
    )


def test_cancel_from_pending_and_running(serve, request_of):
    api = serve(pending_seconds=0, running_seconds=60)
    running = api.create_file_job([request_of("a")]).json()["name"]
    api.wait(running, "BATCH_STATE_RUNNING")
    assert api.http.post(f"/v1beta/{running}:cancel").json() == {}
    ended = api.get(running)
    assert (ended["done"], ended["metadata"]["state"]) == (True, "BATCH_STATE_CANCELLED")
    assert ended["error"]["code"] == 1
    assert "output" not in ended["metadata"]
    assert "response" not in ended
    assert api.http.get("/emulator/jobs").json()["billed_rows"] == 0


def test_cancel_of_a_finished_job_changes_nothing(api, request_of):
    done = api.wait(api.create_inline_job([request_of("a")]))
    assert api.http.post(f"/v1beta/{done['name']}:cancel").status_code == 200
    assert api.get(done["name"])["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"


def test_delete_hides_but_does_not_cancel(serve, request_of):
    api = serve(pending_seconds=60, concurrent_jobs=1)
    name = api.create_inline_job([request_of("a")]).json()["name"]
    assert api.http.delete(f"/v1beta/{name}").json() == {}
    message(api.http.get(f"/v1beta/{name}"), 404)
    assert api.http.get("/v1beta/batches").json() == {}
    message(api.create_inline_job([request_of("b")]), 429)


def test_list_is_newest_first_and_lags(serve, request_of):
    api = serve(pending_seconds=60, list_lag_seconds=100)
    names = [api.create_inline_job([request_of("a")]).json()["name"] for _ in range(5)]
    assert api.http.get("/v1beta/batches").json() == {}
    assert api.get(names[0])["name"] == names[0]
    api.advance(101)
    first = api.http.get("/v1beta/batches", params={"pageSize": 3}).json()
    token = {"pageSize": 3, "pageToken": first["nextPageToken"]}
    second = api.http.get("/v1beta/batches", params=token).json()
    listed = [found["name"] for found in first["operations"] + second["operations"]]
    assert listed == names[::-1]
    assert "nextPageToken" not in second


def test_concurrency_quota(serve, request_of):
    api = serve(pending_seconds=60, concurrent_jobs=2)
    first = api.create_inline_job([request_of("a")]).json()["name"]
    assert api.create_inline_job([request_of("a")]).status_code == 200
    refused = api.create_inline_job([request_of("a")])
    assert "exhausted" in message(refused, 429)
    assert "retry-after" not in refused.headers
    api.http.post(f"/v1beta/{first}:cancel")
    assert api.create_inline_job([request_of("a")]).status_code == 200


def test_token_quota_counts_active_jobs(serve, request_of):
    api = serve(pending_seconds=60, enqueued_tokens=100)
    words = request_of("word " * 40)
    names = [api.create_inline_job([words]).json()["name"] for _ in range(2)]
    message(api.create_file_job([words]), 429)
    assert api.create_inline_job([request_of("word " * 20)]).status_code == 200
    api.http.post(f"/v1beta/{names[0]}:cancel")
    assert api.create_file_job([words]).status_code == 200
    tokens = [job["tokens"] for job in api.http.get("/emulator/jobs").json()["jobs"]]
    assert tokens == [40, 40, 20, 40]


def test_higher_priority_is_worked_on_first(serve, request_of):
    api = serve(pending_seconds=60)
    for priority in ("0", "5", "-5"):
        api.create_inline_job([request_of("a")], priority=priority)
    assert [job.priority for job in api.server.backend.jobs.active()] == [5, 0, -5]
