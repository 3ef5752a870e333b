from __future__ import annotations

import httpx
import pytest

from reembed_emulator.faults import Faults, load_faults


def test_status_with_retry_after(serve, request_of):
    api = serve()
    api.faults({"on": "batches.create", "nth": 2, "do": "status", "status": 503, "retry_after": 7})
    answers = [api.create_inline_job([request_of("a")]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].headers["retry-after"] == "7"
    assert answers[1].json()["error"]["status"] == "UNAVAILABLE"
    assert len(api.http.get("/emulator/jobs").json()["jobs"]) == 2


def test_cut_before_and_after(serve, request_of):
    api = serve()
    for fault, jobs in (("cut_before", 0), ("cut_after", 1)):
        api.faults({"on": "batches.create", "do": fault})
        with pytest.raises(httpx.RemoteProtocolError):
            api.create_inline_job([request_of("a")])
        assert len(api.http.get("/emulator/jobs").json()["jobs"]) == jobs
    assert api.server.journal.count("batches.create", 0) == 2


def test_cut_body_leaves_a_short_download(serve, request_of):
    api = serve()
    name = api.wait(api.create_file_job([request_of("a")]))["response"]["output"]["responsesFile"]
    api.faults({"on": "files.download", "nth": 1, "do": "cut_body", "bytes": 100})
    got: list[bytes] = []
    with api.http.stream("GET", f"/v1beta/{name}:download?alt=media") as answer:
        assert int(answer.headers["content-length"]) > 100
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(block for block in answer.iter_raw())
    assert sum(map(len, got)) == 100
    assert len(api.download(name)) == 1


def test_delay_and_times(serve):
    api = serve()
    api.faults({"on": "models.list", "do": "delay", "seconds": 30, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        api.http.get("/v1beta/models", timeout=0.1)
    assert api.http.get("/v1beta/models").is_success


def test_upload_chunks_have_names_of_their_own(serve):
    api = serve()
    api.faults({"on": "upload.finalize", "nth": 1, "do": "cut_after"})
    url = api.start_upload(5, name="files/lost-answer").headers["x-goog-upload-url"]
    with pytest.raises(httpx.RemoteProtocolError):
        api.send_chunk(url, b"hello", 0)
    assert api.get("files/lost-answer")["sizeBytes"] == "5"


def test_every_route(serve):
    api = serve()
    api.faults({"on": "*", "every": 2, "do": "status", "status": 500})
    statuses = [api.http.get("/v1beta/files").status_code for _ in range(4)]
    assert statuses == [200, 500, 200, 500]


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        ({"do": "drop_rows", "rows": [0, 2]}, ["k1", "k3"]),
        ({"do": "double_rows", "every": 2}, ["k0", "k0", "k1", "k2", "k2", "k3"]),
        ({"do": "unknown_key", "rows": [1]}, ["k0", "k2", "k3", "stranger-1"]),
        ({"do": "no_keys"}, [None] * 4),
        ({"do": "scramble_keys"}, ["k0", "k1", "k2", "k3"]),
    ],
)
def test_row_faults_on_keys(serve, request_of, fault, keys):
    api = serve()
    requests = [request_of(f"text {i}") for i in range(4)]
    clean = {row["key"]: row["response"]["embedding"] for row in api.run(requests).values()}
    api.faults({"job": 2, **fault})
    operation = api.wait(api.create_file_job(requests))
    rows = api.download(operation["response"]["output"]["responsesFile"])
    assert sorted((row.get("key") for row in rows), key=str) == sorted(keys, key=str)
    if fault["do"] == "scramble_keys":
        assert all(clean[row["key"]] != row["response"]["embedding"] for row in rows)
    assert len(api.run(requests)) == 4


def test_row_faults_on_inline_metadata(serve, request_of):
    api = serve()
    api.faults({"job": "*", "do": "no_keys"})
    operation = api.wait(api.create_inline_job([request_of("a")]))
    answers = operation["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
    assert "metadata" not in answers[0]


def test_failed_rows_show_in_the_statistics(serve, request_of):
    api = serve()
    api.faults({"job": 1, "do": "fail_rows", "rows": [1], "code": 8})
    operation = api.wait(api.create_file_job([request_of("a"), request_of("b")]))
    stats = operation["metadata"]["batchStats"]
    assert stats == {
        "requestCount": "2",
        "successfulRequestCount": "1",
        "failedRequestCount": "1",
    }
    rows = api.download(operation["response"]["output"]["responsesFile"])
    assert [row["error"]["code"] for row in rows if "error" in row] == [8]
    assert api.http.get("/emulator/jobs").json()["billed_rows"] == 1


def test_damaged_values(serve, request_of):
    api = serve()
    api.faults(
        {"job": 1, "do": "nan_row", "rows": [0]},
        {"job": 1, "do": "zero_row", "rows": [1]},
        {"job": 1, "do": "short_row", "rows": [2], "dimensions": 5},
    )
    rows = api.run([request_of(f"text {i}") for i in range(4)])
    values = [rows[f"k{i}"]["response"]["embedding"]["values"] for i in range(4)]
    assert values[0][0] == "NaN"
    assert set(values[1]) == {0.0}
    assert [len(one) for one in values] == [128, 128, 5, 128]


def test_jobs_that_fail_or_stay_or_have_an_unknown_state(serve, request_of):
    api = serve()
    api.faults(
        {"job": 1, "do": "fail_job", "code": 13, "message": "no luck"},
        {"job": 2, "do": "state", "state": "BATCH_STATE_PAUSED"},
        {"job": 3, "do": "stuck"},
    )
    failed, paused, stuck, sound = (api.create_inline_job([request_of("a")]) for _ in range(4))
    assert api.wait(failed)["error"] == {"code": 13, "message": "no luck"}
    assert "done" not in api.wait(paused, "BATCH_STATE_PAUSED")
    api.advance(3600)
    assert api.wait(sound)["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert api.get(stuck.json()["name"])["metadata"]["state"] == "BATCH_STATE_PENDING"
    api.advance(48 * 3600)
    assert api.wait(stuck)["metadata"]["state"] == "BATCH_STATE_EXPIRED"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"do": "status", "status": 500}, "either 'on' or 'job'"),
        ({"on": "*", "job": 1, "do": "stuck"}, "either 'on' or 'job'"),
        ({"on": "*", "do": "explode"}, "must be one of"),
        ({"job": 1, "do": "cut_before"}, "must be one of"),
        ({"on": "*", "do": "status"}, "status is missing"),
        ({"on": "*", "do": "delay", "seconds": 1, "when": 2}, "when is not known"),
        ({"on": "*", "nth": 0, "do": "cut_before"}, "nth=0 must be greater than 0"),
        ({"job": 1, "do": "fail_rows", "rows": 3}, "rows=3 must be a valid list"),
        ({"job": 1, "do": ["stuck"]}, "must be one of"),
        ("text", "mapping"),
    ],
)
def test_bad_faults_are_named(api, fault, message):
    with pytest.raises(ValueError, match=message):
        Faults([fault])
    answer = api.http.post("/emulator/faults", json=[fault])
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_faults_from_a_file(serve, tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text("- {on: models.list, nth: 1, do: status, status: 429}\n")
    api = serve(faults=path)
    assert api.http.get("/v1beta/models").status_code == 429
    assert api.http.get("/emulator/faults").json()["faults"][0]["status"] == 429
    path.write_text("on: models.list")
    with pytest.raises(ValueError, match="no list of faults"):
        load_faults(path)


def test_a_job_that_seems_ended_shows_its_real_state_later(serve, request_of):
    api = serve()
    api.faults({"job": 1, "do": "seems_ended", "seconds": 3600, "code": 14, "message": "Gone."})
    created = api.create_inline_job([request_of("a")])
    shown = api.wait(created)
    assert shown["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert shown["error"] == {"code": 14, "message": "Gone."}
    assert "response" not in shown
    listed = api.http.get("/v1beta/batches").json()["operations"]
    assert [job["metadata"]["state"] for job in listed] == ["BATCH_STATE_FAILED"]
    api.http.post("/emulator/advance", json={"seconds": 3600})
    shown = api.wait(created)
    assert shown["metadata"]["state"] == "BATCH_STATE_SUCCEEDED"
    assert "error" not in shown
    with pytest.raises(ValueError, match="seconds='long' must be a valid number"):
        Faults([{"job": 1, "do": "seems_ended", "seconds": "long"}])
