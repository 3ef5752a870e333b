from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder


@pytest.fixture
def open_folder(tmp_path, request_of):
    """Serve one state folder, over and over."""

    def start(**settings):
        quick = {"port": 0, "pending_seconds": 0.05, "running_seconds": 0.05}
        return EmulatorServer(EmulatorSettings(**{**quick, **settings}, state_dir=tmp_path))

    return start


def call(server, method, path, **options):
    headers = {"x-goog-api-key": "k", **options.pop("headers", {})}
    url = path if path.startswith("http") else server.base_url + path
    # Without certificates to load, a client for each call is cheap.
    with httpx.Client(verify=False, timeout=20) as client:
        return client.request(method, url, headers=headers, **options)


def create(server, request):
    rows = [{"request": request, "metadata": {"key": "a"}}]
    batch = {"displayName": "x", "inputConfig": {"requests": {"requests": rows}}}
    path = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"
    return call(server, "POST", path, json={"batch": batch}).json()["name"]


def wait(server, name, state="BATCH_STATE_SUCCEEDED"):
    for _ in range(300):
        operation = call(server, "GET", f"/v1beta/{name}").json()
        if operation["metadata"]["state"] == state:
            return operation
        time.sleep(0.02)
    raise AssertionError(operation)


def test_jobs_in_flight_go_on(open_folder, request_of):
    with open_folder(pending_seconds=60) as server:
        pending = create(server, request_of("a"))
    with open_folder(pending_seconds=0, running_seconds=60) as server:
        assert wait(server, pending, "BATCH_STATE_RUNNING")
    with open_folder() as server:
        assert wait(server, pending)["metadata"]["output"]["inlinedResponses"]
        assert create(server, request_of("b")) != pending
        jobs = call(server, "GET", "/emulator/jobs").json()["jobs"]
        assert [job["number"] for job in jobs] == [1, 2]


def test_uploads_in_progress_go_on(open_folder):
    headers = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": "10",
        "X-Goog-Upload-Header-Content-Type": "text/plain",
    }
    chunk = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
    with open_folder() as server:
        begun = call(server, "POST", "/upload/v1beta/files", headers=headers)
        url = begun.headers["x-goog-upload-url"]
        call(server, "POST", url, headers=chunk, content=b"hello")
    path = url.split("/", 3)[3]
    with open_folder() as server:
        rest = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "5"}
        done = call(server, "POST", f"/{path}", headers=rest, content=b"world").json()
    with open_folder() as server:
        assert call(server, "GET", f"/v1beta/{done['file']['name']}").json() == {
            **done["file"],
            "uri": f"{server.base_url}/v1beta/{done['file']['name']}",
        }


def test_the_clock_keeps_its_offset(open_folder):
    with open_folder() as server:
        call(server, "POST", "/emulator/advance", json={"seconds": 1000})
    with open_folder() as server:
        answer = call(server, "POST", "/emulator/advance", json={"seconds": 1})
        assert answer.json()["offset"] == 1001
        for bad in (-1, "x", None, True):
            refused = call(server, "POST", "/emulator/advance", json={"seconds": bad})
            assert refused.status_code == 400


def test_a_folder_of_another_schema_is_refused(tmp_path):
    (tmp_path / "state.json").write_text('{"schema": 99, "offset": 0}')
    with pytest.raises(ValueError, match="schema 99, this version reads 1"):
        StateFolder(tmp_path).offset()


def run_process(folder, *arguments):
    command = [sys.executable, "-m", "reembed_emulator", "--port", "0", *arguments]
    process = subprocess.Popen([*command, "--state", str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert "no model" in line
    return process, line.split(" ")[2].rstrip(";")


def end(process, how):
    process.send_signal(how)
    code = process.wait(timeout=5)
    process.stdout.close()
    return code


class _At:
    def __init__(self, base_url):
        self.base_url = base_url


def test_killed_process_loses_nothing(tmp_path, open_folder, request_of):
    process, url = run_process(tmp_path, "--running-seconds", "60", "--pending-seconds", "0")
    name = create(_At(url), request_of("a"))
    wait(_At(url), name, "BATCH_STATE_RUNNING")
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    with open_folder() as server:
        assert wait(server, name)["done"]
        jobs = call(server, "GET", "/emulator/jobs").json()
        assert jobs["billed_rows"] == 1
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["route"] == "batches.create"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_promptly(tmp_path, how):
    process, url = run_process(tmp_path)
    with httpx.Client(base_url=url, headers={"x-goog-api-key": "k"}) as client:
        assert client.get("/v1beta/models").is_success
        began = time.monotonic()
        assert end(process, how) == 0
    assert time.monotonic() - began < 3


def test_bad_options_and_a_taken_port(tmp_path):
    command = [sys.executable, "-m", "reembed_emulator"]
    bad = subprocess.run(
        [*command, "--pending-seconds", "-1"], capture_output=True, timeout=30, check=False
    )
    assert (bad.returncode, b"must not be negative" in bad.stderr) == (2, True)
    process, url = run_process(tmp_path)
    port = url.rsplit(":", 1)[1]
    taken = subprocess.run([*command, "--port", port], capture_output=True, timeout=30, check=False)
    assert end(process, signal.SIGTERM) == 0
    assert taken.returncode == 2
    assert os.strerror(98).encode() in taken.stderr or b"in use" in taken.stderr


def test_a_job_that_cannot_be_worked_on_fails_and_the_others_go_on(
    tmp_path, open_folder, request_of
):
    with open_folder(pending_seconds=0, running_seconds=60) as server:
        broken, whole = (create(server, request_of(text)) for text in "ab")
        for name in (broken, whole):
            wait(server, name, "BATCH_STATE_RUNNING")
    (tmp_path / "jobs" / f"{broken.removeprefix('batches/')}.input").unlink()
    with open_folder() as server:
        error = wait(server, broken, "BATCH_STATE_FAILED")["error"]
        assert error["code"] == 13
        assert "Internal error" in error["message"]
        assert wait(server, whole)["done"]
