from __future__ import annotations

import json
import signal

import pytest

from reembed_emulator.state import Clock, StateFolder


def test_jobs_in_flight_go_on(open_folder, request_of):
    with open_folder(pending_seconds=60) as api:
        pending = api.create_inline_job([request_of("a")]).json()["name"]
    with open_folder(pending_seconds=0, running_seconds=60) as api:
        assert api.wait(pending, "BATCH_STATE_RUNNING")
    with open_folder() as api:
        done = api.wait(pending, "BATCH_STATE_SUCCEEDED")
        assert done["metadata"]["output"]["inlinedResponses"]
        assert api.create_inline_job([request_of("b")]).json()["name"] != pending
        jobs = api.http.get("/emulator/jobs").json()["jobs"]
        assert [job["number"] for job in jobs] == [1, 2]


def test_uploads_in_progress_go_on(open_folder):
    with open_folder() as api:
        url = api.start_upload(10, mime_type="text/plain").headers["x-goog-upload-url"]
        api.send_chunk(url, b"hello", 0, "upload")
    path = "/" + url.split("/", 3)[3]
    with open_folder() as api:
        done = api.send_chunk(path, b"world", 5).json()
    with open_folder() as api:
        assert api.get(done["file"]["name"]) == {
            **done["file"],
            "uri": f"{api.server.base_url}/v1beta/{done['file']['name']}",
        }


def test_the_clock_keeps_its_offset(open_folder):
    with open_folder() as api:
        api.advance(1000)
    with open_folder() as api:
        answer = api.http.post("/emulator/advance", json={"seconds": 1})
        assert answer.json()["offset"] == 1001


def test_the_clock_moves_forward_only():
    clock = Clock(5.0, now=lambda: 100.0)
    clock.advance(2.5)
    assert clock.now() == 107.5
    with pytest.raises(ValueError, match="seconds=-1: the clock moves forward only"):
        clock.advance(-1)


def test_a_folder_of_another_schema_is_refused(tmp_path):
    (tmp_path / "state.json").write_text('{"schema": 99, "offset": 0}')
    with pytest.raises(ValueError, match="schema 99, this version reads 1"):
        StateFolder(tmp_path).offset()


def test_a_killed_process_loses_nothing(tmp_path, spawn, open_folder, request_of):
    process, api = spawn("--running-seconds", 60, "--pending-seconds", 0, "--state", tmp_path)
    name = api.create_inline_job([request_of("a")]).json()["name"]
    api.wait(name, "BATCH_STATE_RUNNING")
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    with open_folder() as again:
        assert again.wait(name, "BATCH_STATE_SUCCEEDED")["done"]
        jobs = again.http.get("/emulator/jobs").json()
        assert jobs["billed_rows"] == 1
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["route"] == "batches.create"


def test_the_journal_never_holds_the_key(serve):
    api = serve()
    api.http.get("/v1beta/files?key=secret-key")
    lines = api.server.backend.state.journal.read_text()
    assert "secret-key" not in lines
    entry = json.loads(lines.splitlines()[0])
    assert (entry["method"], entry["route"], entry["status"]) == ("GET", "files.list", 200)
