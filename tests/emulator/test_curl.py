"""The protocol with nothing but curl."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from support.waiting import DEADLINE

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def curl(*arguments):
    done = subprocess.run(
        ["curl", "-sS", *arguments], capture_output=True, timeout=DEADLINE, check=True
    )
    return done.stdout.decode()


def test_curl_runs_a_job(api, tmp_path, lines_of, request_of):
    base, key = api.server.base_url, "x-goog-api-key: k"
    source = tmp_path / "input.jsonl"
    source.write_bytes(lines_of([request_of("bees"), request_of("trains")]))
    size = source.stat().st_size
    answer = curl(
        *("-D", "-", "-H", key, "-H", "X-Goog-Upload-Protocol: resumable"),
        *("-H", "X-Goog-Upload-Command: start"),
        *("-H", f"X-Goog-Upload-Header-Content-Length: {size}"),
        *("-H", "X-Goog-Upload-Header-Content-Type: application/jsonl"),
        *("-H", "Content-Type: application/json", "-d", '{"file":{"display_name":"by curl"}}'),
        f"{base}/upload/v1beta/files",
    )
    headers = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
    url = {name.lower(): value for name, value in headers.items()}["x-goog-upload-url"]
    uploaded = curl(
        *("-H", "X-Goog-Upload-Offset: 0", "-H", "X-Goog-Upload-Command: upload, finalize"),
        *("--data-binary", f"@{source}", url),
    )
    name = json.loads(uploaded)["file"]["name"]
    batch = {"batch": {"displayName": "by curl", "inputConfig": {"file_name": name}}}
    created = curl(
        *("-H", key, "-H", "Content-Type: application/json", "-d", json.dumps(batch)),
        f"{base}/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent",
    )
    operation = api.wait(json.loads(created)["name"])
    result = operation["response"]["output"]["responsesFile"]
    for prefix in ("", "/download"):
        text = curl(f"{base}{prefix}/v1beta/{result}:download?alt=media&key=k")
        assert {json.loads(line)["key"] for line in text.splitlines()} == {"k0", "k1"}


def test_curl_without_a_key_is_refused(api):
    refused = json.loads(curl(f"{api.server.base_url}/v1beta/models"))
    assert refused["error"]["code"] == 403
    assert refused["error"]["status"] == "PERMISSION_DENIED"
