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
    ("data", "number", "said"),
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
def test_a_bad_line_fails_the_job(api, data, number, said):
    error = failure(api, data)
    assert error["code"] == 3
    assert f"line {number}:" in error["message"]
    assert said in error["message"]


def test_an_empty_file_fails_the_job(api):
    assert "no requests" in failure(api, b"")["message"]


def test_a_bad_line_costs_nothing_and_is_told_at_the_start(serve):
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


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"outputDimensionality": 127}, "out of the supported range"),
        ({"outputDimensionality": 3073}, "out of the supported range"),
        ({"outputDimensionality": 0}, "out of the supported range"),
        ({"taskType": "RETRIEVAL_QUERY"}, "task_type is not supported"),
        ({"title": "a"}, "title is not supported"),
        ({"content": {"parts": [{"text": " \n"}]}}, "content is empty"),
        ({"content": {"parts": []}}, "content is empty"),
        ({"content": {"parts": [{}]}}, "part without data"),
        ({"content": {}}, "content is empty"),
    ],
)
def test_a_bad_row_is_an_error_line_among_good_ones(api, request_of, fields, said):
    rows = api.run([request_of("good"), request_of("bad") | fields])
    assert rows["k1"]["error"]["code"] == 3
    assert said in rows["k1"]["error"]["message"]
    assert "response" not in rows["k1"]
    assert "response" in rows["k0"]


def test_rows_of_001(api, request_of, media_request, make):
    rows = api.run(
        [
            request_of("a", taskType="RETRIEVAL_DOCUMENT", title="t"),
            request_of("a", title="t"),
            media_request((make.image(), "image/png")),
        ],
        model="gemini-embedding-001",
    )
    assert "response" in rows["k0"]
    assert "RETRIEVAL_DOCUMENT" in rows["k1"]["error"]["message"]
    assert "text only" in rows["k2"]["error"]["message"]


def test_config_inside_embed_content_config_is_ignored(api, request_of):
    request = request_of("a", embedContentConfig={"outputDimensionality": 128})
    del request["outputDimensionality"]
    assert len(api.row(request)["response"]["embedding"]["values"]) == 3072


@pytest.mark.parametrize(
    ("model", "limit"), [("gemini-embedding-2", 8192), ("gemini-embedding-001", 2048)]
)
def test_long_text_is_cut_silently(api, request_of, model, limit):
    head = "word " * limit
    rows = api.run([request_of(head), request_of(head + "tail " * 500)], model=model)
    counts = [rows[key]["response"]["tokenCount"] for key in ("k0", "k1")]
    assert counts == [str(limit)] * 2
    values = [rows[key]["response"]["embedding"]["values"] for key in ("k0", "k1")]
    assert values[0] == values[1]
