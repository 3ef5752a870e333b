from __future__ import annotations

import pytest


def message(answer, code=400):
    assert answer.status_code == code, answer.text
    return answer.json()["error"]["message"]


def test_file_job_from_pending_to_succeeded(serve, request_of):
    api = serve(pending_seconds=0.3, running_seconds=0.3)
    created = api.create_file_job([request_of("a"), request_of("b")], priority="-3").json()
    metadata = created["metadata"]
    assert "done" not in created
    assert metadata["state"] == "BATCH_STATE_PENDING"
    assert metadata["batchStats"] == {"requestCount": "2", "pendingRequestCount": "2"}
    assert metadata["priority"] == "-3"
    assert metadata["inputConfig"]["fileName"].startswith("files/")
    assert "endTime" not in metadata
    api.wait(created["name"], "BATCH_STATE_RUNNING")
    done = api.wait(created["name"])
    assert done["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert done["metadata"]["batchStats"] == {"requestCount": "2", "successfulRequestCount": "2"}
    assert done["metadata"]["endTime"] > done["metadata"]["createTime"]
    assert done["response"]["output"] == done["metadata"]["output"]


def test_pending_count_sinks_while_running(serve, request_of):
    api = serve(pending_seconds=0, running_seconds=0.6)
    name = api.create_inline_job([request_of(f"t {i}") for i in range(60)]).json()["name"]
    seen = []
    while (operation := api.get(name))["metadata"]["state"] != "BATCH_STATE_SUCCEEDED":
        seen.append(int(operation["metadata"]["batchStats"].get("pendingRequestCount", 0)))
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 5


def test_rows_come_shuffled_and_keyed(serve, request_of):
    requests = [request_of(f"text {i}") for i in range(30)]
    for shuffled in (True, False):
        api = serve(shuffle_results=shuffled)
        name = api.wait(api.create_file_job(requests))["metadata"]["output"]["responsesFile"]
        keys = [row["key"] for row in api.download(name)]
        assert sorted(keys) == sorted(f"k{i}" for i in range(30))
        assert (keys == [f"k{i}" for i in range(30)]) is not shuffled


def test_line_forms(serve, request_of):
    api = serve(shuffle_results=False)
    rows = list(api.run([request_of(f"text {i}") for i in range(8)]).values())
    assert {next(iter(row)) for row in rows} == {"key", "response"}
    assert all(isinstance(row["response"]["tokenCount"], str) for row in rows)
    assert {"usageMetadata" in row["response"] for row in rows} == {True, False}


@pytest.mark.parametrize("echoed", [True, False])
def test_inline_output_stands_in_both_places(serve, request_of, echoed):
    api = serve(echo_metadata=echoed)
    created = api.create_inline_job([request_of("a"), request_of("b", outputDimensionality=5)])
    operation = api.wait(created)
    output = operation["metadata"]["output"]
    assert operation["response"]["output"] == output
    answers = output["inlinedResponses"]["inlinedResponses"]
    assert len(answers) == 2
    assert sorted(("error" in one, "response" in one) for one in answers) == [
        (False, True),
        (True, False),
    ]
    named = [one.get("metadata") for one in answers]
    assert (
        (sorted(name["key"] for name in named) == ["k0", "k1"]) if echoed else named == [None] * 2
    )
    listed = api.http.get("/v1beta/batches").json()["operations"][0]
    assert "output" not in listed["metadata"]
    assert listed["metadata"]["batchStats"]["failedRequestCount"] == "1"


def test_large_inline_replies_cannot_be_fetched(serve, request_of):
    api = serve(max_inline_reply_bytes=20_000)
    name = api.create_inline_job([request_of(f"text {i}") for i in range(20)]).json()["name"]
    for _ in range(200):
        answer = api.http.get(f"/v1beta/{name}")
        if answer.status_code != 200:
            break
    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("body", "said"),
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
def test_create_refuses(api, body, said):
    path = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"
    assert said in message(api.http.post(path, json=body))


def test_create_refuses_bad_inline_requests(api, request_of):
    bad = {"requests": {"requests": [{"request": request_of("a", dims=5)}]}}
    assert "Unknown name \"dims\" at 'batch.input_config.requests.requests[0].request'" in message(
        api.create(bad)
    )
    other = {"requests": {"requests": [{"request": request_of("a", model="models/x")}]}}
    assert "line 1" in message(api.create(other))
    assert "request is missing" in message(api.create({"requests": {"requests": [{}]}}))


def test_create_refuses_no_json_and_large_bodies(serve, request_of):
    api = serve(max_inline_bytes=2000)
    path = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"
    assert "Invalid JSON payload" in message(api.http.post(path, content=b"{"))
    assert "exceeds the limit: 2000 bytes" in message(
        api.create_inline_job([request_of("a" * 2000)])
    )


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


def test_unknown_batches_and_paths(api):
    for method, path in (
        ("GET", "/v1beta/batches/nobody"),
        ("DELETE", "/v1beta/batches/nobody"),
        ("POST", "/v1beta/batches/nobody:cancel"),
        ("GET", "/v1beta/nothing"),
        ("GET", "/v1/files"),
        ("GET", "/"),
    ):
        message(api.http.request(method, path), 404)


def test_keys(serve):
    api = serve(expected_key="right")
    wrong = api.http.get("/v1beta/models").json()["error"]
    assert (wrong["code"], wrong["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert api.http.get("/v1beta/models", headers={"x-goog-api-key": "right"}).is_success
    assert api.http.get("/v1beta/models?key=right", headers={"x-goog-api-key": ""}).is_success
    message(api.http.get("/v1beta/models", headers={"x-goog-api-key": ""}), 403)


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


def test_update(serve, request_of):
    api = serve(pending_seconds=60)
    name = api.create_inline_job([request_of("a")]).json()["name"]
    path = f"/v1beta/{name}:updateEmbedContentBatch"
    body = {"priority": "7", "displayName": "new"}
    changed = api.http.patch(path, params={"updateMask": "priority"}, json=body).json()
    assert (changed["priority"], changed["displayName"]) == ("7", "job")
    api.http.patch(path, params={"updateMask": "display_name,priority"}, json=body)
    assert api.get(name)["metadata"]["displayName"] == "new"
    assert "'state' cannot be updated" in message(
        api.http.patch(path, params={"updateMask": "state"}, json={"state": "x"})
    )
    assert "is required" in message(
        api.http.patch(path, params={"updateMask": "displayName"}, json={})
    )


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


def test_expiry_by_the_virtual_clock(serve, request_of):
    api = serve(pending_seconds=1e6, job_expiry_hours=48)
    name = api.create_file_job([request_of("a")]).json()["name"]
    api.advance(48 * 3600 - 30)
    assert api.get(name)["metadata"]["state"] == "BATCH_STATE_PENDING"
    api.advance(31)
    ended = api.wait(name)
    assert ended["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert "output" not in ended["metadata"]
    assert ended["error"]["code"] == 4


def test_input_file_that_is_gone_at_the_start(serve, request_of, lines_of):
    api = serve(pending_seconds=7200, file_life_hours=1)
    expired = api.create_file_job([request_of("a")]).json()["name"]
    file = api.upload(lines_of([request_of("a")]))["name"]
    deleted = api.create({"fileName": file}).json()["name"]
    api.http.delete(f"/v1beta/{file}")
    api.advance(7201)
    for name in (expired, deleted):
        ended = api.wait(name)
        assert ended["metadata"]["state"] == "BATCH_STATE_FAILED"
        assert ended["error"]["code"] == 5
        assert "not found" in ended["error"]["message"]


def test_input_file_may_be_deleted_once_the_job_runs(serve, request_of, lines_of):
    api = serve(running_seconds=0.5)
    file = api.upload(lines_of([request_of("a")]))["name"]
    created = api.create({"fileName": file})
    api.wait(created, "BATCH_STATE_RUNNING")
    api.http.delete(f"/v1beta/{file}")
    assert api.wait(created)["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"


def test_higher_priority_is_worked_on_first(serve, request_of):
    api = serve(pending_seconds=60)
    for priority in ("0", "5", "-5"):
        api.create_inline_job([request_of("a")], priority=priority)
    assert [job.priority for job in api.server.backend.jobs.active()] == [5, 0, -5]


def test_counts_and_bills(serve, request_of):
    api = serve()
    api.run([request_of("one two"), request_of("three"), request_of(" ")])
    jobs = api.http.get("/emulator/jobs").json()
    assert (jobs["billed_rows"], jobs["billed_tokens"]) == (2, 3)
    assert jobs["jobs"][0]["kind"] == "file"
    counted = api.http.get("/emulator/requests").json()["counts"]
    creates = [row["count"] for row in counted if row["route"] == "batches.create"]
    assert creates == [1] == [api.server.journal.count("batches.create", 200)]
