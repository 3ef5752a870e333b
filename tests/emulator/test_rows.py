from __future__ import annotations

import json
from typing import Any

import pytest

GOOD: dict[str, Any] = {"key": "a", "request": {"content": {"parts": [{"text": "a"}]}}}


def line(**fields):
    return json.dumps({**GOOD, **fields}).encode() + b"\n"


def failure(api, data):
    operation = api.wait(api.create_file_job(data))
    assert operation["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert "output" not in operation["metadata"]
    assert "response" not in operation
    return operation["error"]


@pytest.mark.parametrize(
    ("data", "number", "expected"),
    [
        (line() + b"\n" + line(), 2, "blank"),
        (line() + b"  \n", 2, "blank"),
        (line() + b"{oops}\n", 2, "not JSON"),
        (b"\xef\xbb\xbf" + line(), 1, "not JSON"),
        (line() + line(id=1), 2, 'Unknown name "id"'),
        (line(request={"text": "a"}), 1, "Unknown name \"text\" at 'request'"),
        (b'{"key":"a"}\n', 1, "request is missing"),
        (line(key=5), 1, "TYPE_STRING"),
        (line(request={**GOOD["request"], "model": "models/gemini-embedding-001"}), 1, "model"),
        (line() * 3 + b"[]", 4, "not an object"),
    ],
)
def test_a_bad_line_fails_the_job(api, data, number, expected):
    error = failure(api, data)
    assert error["code"] == 3
    assert f"line {number}:" in error["message"]
    assert expected in error["message"]


def test_an_empty_file_fails_the_job(api):
    assert "no requests" in failure(api, b"")["message"]


def test_a_bad_line_costs_nothing_and_is_reported_at_the_start(serve):
    api = serve(pending_seconds=60)
    created = api.create_file_job(b"{}\n")
    assert created.json()["metadata"]["state"] == "BATCH_STATE_PENDING"
    api.advance(61)
    assert api.wait(created)["error"]["code"] == 3
    assert api.http.get("/emulator/jobs").json()["billed_rows"] == 0


def test_the_last_line_may_lack_its_end_and_a_line_may_lack_its_key(api):
    data = line() + json.dumps({"request": GOOD["request"]}).encode()
    rows = api.download(api.wait(api.create_file_job(data))["response"]["output"]["responsesFile"])
    assert sorted("key" in row for row in rows) == [False, True]


def test_own_model_is_accepted_in_a_line(api, request_of):
    row = api.row(request_of("a", model="models/gemini-embedding-2"))
    assert len(row["response"]["embedding"]["values"]) == 128


def test_line_forms(serve, request_of):
    api = serve(shuffle_results=False)
    rows = list(api.run([request_of(f"text {i}") for i in range(8)]).values())
    assert {next(iter(row)) for row in rows} == {"key", "response"}
    assert all(isinstance(row["response"]["tokenCount"], str) for row in rows)
    assert {"usageMetadata" in row["response"] for row in rows} == {True, False}
