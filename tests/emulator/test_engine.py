from __future__ import annotations


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


def test_a_job_that_cannot_be_worked_on_fails_and_the_others_go_on(
    tmp_path, open_folder, request_of
):
    with open_folder(pending_seconds=0, running_seconds=60) as api:
        broken, whole = (api.create_inline_job([request_of(text)]).json()["name"] for text in "ab")
        for name in (broken, whole):
            api.wait(name, "BATCH_STATE_RUNNING")
    (tmp_path / "jobs" / f"{broken.removeprefix('batches/')}.input").unlink()
    with open_folder() as api:
        error = api.wait(broken, "BATCH_STATE_FAILED")["error"]
        assert error["code"] == 13
        assert "Internal error" in error["message"]
        assert api.wait(whole, "BATCH_STATE_SUCCEEDED")["done"]
