"""Raw answers → jobs, files, vectors: what is read where, and that nothing odd breaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import ServiceError
from reembed.providers.base import Job, JobStats, RemoteError
from reembed.providers.gemini.operations import (
    answer_lines,
    dump_json,
    one_line,
    parse_file,
    parse_json,
    parse_operation,
    parse_vector,
)

DOCUMENTED = {
    "name": "batches/ID",
    "done": True,
    "metadata": {
        "model": "models/gemini-embedding-2",
        "displayName": "run42",
        "name": "batches/ID",
        "inputConfig": {"fileName": "files/in1"},
        "createTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T04:00:00Z",
        "state": "BATCH_STATE_SUCCEEDED",
        "priority": "-5",
        "batchStats": {
            "requestCount": "2",
            "successfulRequestCount": "1",
            "failedRequestCount": "1",
        },
        "output": {"responsesFile": "files/batch-ID"},
    },
    "response": {"output": {"responsesFile": "files/batch-ID"}},
    "error": {"code": 13, "message": "some rows failed"},
}


def with_metadata(**metadata: Any) -> Job:
    return parse_operation({"name": "batches/b", "metadata": metadata})


def test_the_documented_operation_is_read_whole() -> None:
    assert parse_operation(DOCUMENTED) == Job(
        name="batches/ID",
        display_name="run42",
        state="SUCCEEDED",
        raw_state="BATCH_STATE_SUCCEEDED",
        stats=JobStats(total=2, succeeded=1, failed=1, pending=0),
        error=RemoteError(13, "some rows failed"),
        create_time="2026-01-01T00:00:00Z",
        end_time="2026-01-01T04:00:00Z",
        input_file="files/in1",
        responses_file="files/batch-ID",
        inline_responses=None,
        model="models/gemini-embedding-2",
        priority=-5,
    )


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("BATCH_STATE_PENDING", "PENDING"),
        ("BATCH_STATE_RUNNING", "RUNNING"),
        ("BATCH_STATE_SUCCEEDED", "SUCCEEDED"),
        ("BATCH_STATE_FAILED", "FAILED"),
        ("BATCH_STATE_CANCELLED", "CANCELLED"),
        ("BATCH_STATE_EXPIRED", "EXPIRED"),
        ("JOB_STATE_SUCCEEDED", "SUCCEEDED"),
        ("BATCH_STATE_UNSPECIFIED", "UNKNOWN"),
        ("BATCH_STATE_PAUSED", "UNKNOWN"),
        ("UNKNOWN", "UNKNOWN"),
        ("succeeded", "UNKNOWN"),
    ],
)
def test_states_and_words_not_known(word: str, state: str) -> None:
    job = with_metadata(state=word)
    assert (job.state, job.raw_state) == (state, word)
    assert job.done == (state in {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})


@pytest.mark.parametrize(
    ("rest", "state"),
    [
        ({}, "PENDING"),
        ({"done": False}, "PENDING"),
        ({"done": True, "response": {}}, "SUCCEEDED"),
        ({"done": True, "error": {"code": 13}}, "FAILED"),
        ({"done": True, "error": {"code": 1}}, "CANCELLED"),
        ({"done": True}, "UNKNOWN"),
    ],
)
def test_without_a_state_the_operation_tells(rest: dict[str, Any], state: str) -> None:
    job = parse_operation({"name": "batches/b", **rest})
    assert (job.state, job.raw_state) == (state, "")


def test_a_state_that_is_no_word_is_kept_as_text() -> None:
    assert (with_metadata(state=3).state, with_metadata(state=3).raw_state) == ("UNKNOWN", "3")


def test_a_bare_batch_is_read_too() -> None:
    job = parse_operation({"name": "batches/b", "state": "BATCH_STATE_RUNNING", "displayName": "d"})
    assert (job.state, job.display_name) == ("RUNNING", "d")


ROWS = [{"metadata": {"key": "a"}, "response": {}}, {"error": {"code": 3}}]


@pytest.mark.parametrize("key", ["inlinedResponses", "inlinedEmbedContentResponses"])
@pytest.mark.parametrize(
    "place",
    [
        lambda out: {"metadata": {"state": "x", "output": out}},
        lambda out: {"response": {"output": out}},
        lambda out: {"response": {"@type": "t", **out}},
    ],
    ids=["metadata.output", "response.output", "response"],
)
@pytest.mark.parametrize("inner", [True, False], ids=["nested", "flat"])
def test_inline_answers_are_found(key: str, place: Any, inner: bool) -> None:
    output = {key: {key: ROWS} if inner else ROWS}
    job = parse_operation({"name": "batches/b", **place(output)})
    assert job.inline_responses == tuple(ROWS)
    assert job.responses_file == ""


def test_an_empty_inline_answer_is_not_a_missing_one() -> None:
    assert with_metadata(output={"inlinedResponses": {}}).inline_responses == ()
    assert with_metadata(output={}).inline_responses is None


def test_an_inline_entry_that_is_none_keeps_its_place() -> None:
    job = with_metadata(output={"inlinedResponses": {"inlinedResponses": [ROWS[0], None, "x"]}})
    assert job.inline_responses == (ROWS[0], {}, {})


@pytest.mark.parametrize(
    "place",
    [
        {"metadata": {"output": {"responsesFile": "files/r"}}},
        {"response": {"output": {"responsesFile": "files/r"}}},
        {"response": {"responsesFile": "files/r"}},
        {"metadata": {"output": {"responsesFile": 5}}, "response": {"responsesFile": "files/r"}},
    ],
)
def test_the_result_file_is_found(place: dict[str, Any]) -> None:
    assert parse_operation({"name": "batches/b", **place}).responses_file == "files/r"


@pytest.mark.parametrize(
    ("given", "number"),
    [
        *[("12", 12), (12, 12), (12.0, 12), ("", 0), ("1e9", 0), (True, 0), (None, 0), ([], 0)],
        *[("9" * 5000, 0), (float("inf"), 0), ("-3", -3), ("١٢", 0)],
    ],
)
def test_counts_in_any_form(given: object, number: int) -> None:
    assert with_metadata(batchStats={"pendingRequestCount": given}).stats.pending == number


@pytest.mark.parametrize(
    "name", [None, 5, "", "b1", "batches/", "batches/..", "batches/a/b", "files/x", "batches/a\n"]
)
def test_a_name_that_is_none_is_an_error(name: object) -> None:
    with pytest.raises(ServiceError, match="is no job name"):
        parse_operation({"name": name, "metadata": {"state": "BATCH_STATE_PENDING"}})


def test_a_long_error_message_is_cut_and_made_printable() -> None:
    job = parse_operation({"name": "batches/b", "error": {"message": "a\x1b[31m\n" + "x" * 9999}})
    assert job.error is not None
    assert len(job.error.message) == 500
    assert job.error.message.startswith("a [31m x")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
WORDS = [
    *("name", "done", "metadata", "response", "error", "code", "message", "state", "batchStats"),
    *("requestCount", "output", "responsesFile", "inlinedResponses", "inputConfig", "fileName"),
    *("inlinedEmbedContentResponses", "priority", "displayName", "createTime", "key"),
]
likely = st.recursive(
    anything | st.sampled_from(["batches/b", "BATCH_STATE_SUCCEEDED", "files/f", "17"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(WORDS), likely), st.booleans())
def test_any_object_is_a_job_or_a_service_error(raw: dict[str, Any], named: bool) -> None:
    if named:
        raw["name"] = "batches/b"
    try:
        job = parse_operation(raw)
    except ServiceError:
        assert not named
        return
    assert job.state in {"PENDING", "RUNNING", "UNKNOWN"} or job.done
    assert all(isinstance(entry, dict) for entry in job.inline_responses or ())
    assert all(type(n) is int for n in (job.priority, job.stats.total, job.stats.pending))
    for line in answer_lines(job.inline_responses or ()):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        assert isinstance(json.loads(line), dict)


@given(st.binary(max_size=60) | st.text().map(lambda t: json.dumps(t).encode()))
def test_bytes_are_an_object_or_a_service_error(body: bytes) -> None:
    try:
        value = parse_json(body, "get")
    except ServiceError:
        return
    assert isinstance(value, dict)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"null"])
def test_hostile_bytes_are_a_service_error(body: bytes) -> None:
    with pytest.raises(ServiceError):
        parse_json(body, "get")


@pytest.mark.parametrize("body", [b'{"v":NaN}', b'{"v":"\\ud800"}', b'{"v":%b}' % (b"9" * 40)])
def test_odd_values_of_one_row_do_not_hide_the_others(body: bytes) -> None:
    value = parse_json(body, "get")
    assert b"\n" not in dump_json(value)
    assert "v" in json.loads(dump_json(value))


def test_files_are_read_bare_and_wrapped() -> None:
    raw = {"name": "files/f", "sizeBytes": "9", "mimeType": "a/b", "expirationTime": "t"}
    assert parse_file(raw) == parse_file({"file": raw})
    assert parse_file(raw).size_bytes == 9
    with pytest.raises(ServiceError, match="is no file name"):
        parse_file({"name": "../x"})


@pytest.mark.parametrize(
    "raw",
    [{}, *[{"embedding": inner} for inner in ({}, {"values": []}, {"values": [1, "x"]})]],
)
def test_an_answer_without_a_vector_is_an_error(raw: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="holds no vector"):
        parse_vector(raw)


@given(st.text() | st.binary())
def test_one_line_is_one_printable_line(text: str | bytes) -> None:
    line = one_line(text, 50)
    assert len(line) <= 50
    assert line.isprintable()
