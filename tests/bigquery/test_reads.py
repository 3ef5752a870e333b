"""Read sessions and streams against a server that breaks off as scripted."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import grpc
import pyarrow as pa
import pytest

from reembed.bigquery.base import Read, ReadStream
from reembed.bigquery.client import BigQueryClient
from reembed.bigquery.connections import Connections, Policy, read_client
from reembed.bigquery.names import TableName
from reembed.errors import (
    BigQueryDeniedError,
    BigQueryError,
    BigQueryNotFoundError,
    StatementRefusedError,
    UsageError,
)
from support.scripted_reads import Break, ScriptedReads, serve_reads

T = TableName("my-project", "data", "items")
BATCHES = [
    pa.record_batch({"key": [f"k{number}" for number in range(start, start + 10)]})
    for start in (0, 10, 20)
]
KEYS = [f"k{number}" for number in range(30)]
Code = grpc.StatusCode
Make = Callable[[ScriptedReads], BigQueryClient]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def serving(pauses: list[float]) -> Iterator[Make]:
    with ExitStack() as stack:

        def make(script: ScriptedReads) -> BigQueryClient:
            client = read_client(stack.enter_context(serve_reads(script)))
            stack.callback(client.transport.close)
            policy = Policy(first=0.001, deadline=0.5, breaks=3, sleep=pauses.append)
            return BigQueryClient("pays", policy, lambda _: Connections(None, client))

        yield make


def keys_of(bigquery: BigQueryClient, offset: int = 0) -> list[str]:
    (stream,) = bigquery.read_streams(T, Read())
    return [key for b in bigquery.read_stream(stream, offset) for key in b["key"].to_pylist()]


def test_a_session_says_columns_filter_moment_and_streams(serving: Make) -> None:
    script = ScriptedReads(BATCHES)
    read = Read(("key", "text"), "`key` >= 'a'", snapshot_ms=1_700_000_000_123, max_streams=7)
    (stream,) = serving(script).read_streams(T, read)
    (request,) = script.sessions
    assert request.parent == "projects/pays"
    assert request.max_stream_count == 7
    session = request.read_session
    assert session.table == "projects/my-project/datasets/data/tables/items"
    assert session.data_format.name == "ARROW"
    assert list(session.read_options.selected_fields) == ["key", "text"]
    assert session.read_options.row_restriction == "`key` >= 'a'"
    assert session.table_modifiers.snapshot_time.timestamp() == 1_700_000_000.123
    assert pickle.loads(pickle.dumps(stream)) == stream


def test_a_stream_brings_its_rows_from_an_offset_on(serving: Make) -> None:
    bigquery = serving(ScriptedReads(BATCHES))
    assert keys_of(bigquery) == KEYS
    assert keys_of(bigquery, 10) == KEYS[10:]


@pytest.mark.parametrize(
    "code", [Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.UNKNOWN]
)
def test_a_stream_that_breaks_goes_on_at_the_next_row(
    serving: Make, pauses: list[float], code: grpc.StatusCode
) -> None:
    script = ScriptedReads(BATCHES, [(1, Break(code)), (0, Break(code)), (1, Break(code))])
    assert keys_of(serving(script)) == KEYS
    assert script.offsets == [0, 10, 10, 20]
    assert pauses == [0.002, 0.004, 0.002]


def test_a_stream_that_never_goes_on_is_given_up(serving: Make) -> None:
    script = ScriptedReads(
        BATCHES, [(1, Break(Code.UNAVAILABLE)), *[(0, Break(Code.UNAVAILABLE))] * 9]
    )
    with pytest.raises(BigQueryError, match="broke off 3 times at row 10 of a stream; check"):
        keys_of(serving(script))
    assert len(script.offsets) == 3


def test_a_stream_that_is_refused_is_not_asked_again(serving: Make) -> None:
    script = ScriptedReads(BATCHES, [(1, Break(Code.PERMISSION_DENIED))] * 2)
    with pytest.raises(BigQueryDeniedError, match=r"my-project\.data\.items: cannot read it"):
        keys_of(serving(script))
    assert len(script.offsets) == 1


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (Code.NOT_FOUND, BigQueryNotFoundError, "check project, dataset, name"),
        (Code.PERMISSION_DENIED, BigQueryDeniedError, "roles/bigquery.readSessionUser"),
        (Code.INVALID_ARGUMENT, StatementRefusedError, "check the columns"),
        (Code.FAILED_PRECONDITION, StatementRefusedError, "it broke"),
        (Code.UNAVAILABLE, BigQueryError, "check the network"),
    ],
)
def test_a_session_that_is_refused_says_why(
    serving: Make, code: grpc.StatusCode, kind: type[BigQueryError], words: str
) -> None:
    bigquery = serving(ScriptedReads(BATCHES, refusal=Break(code)))
    with pytest.raises(kind, match=words) as caught:
        bigquery.read_streams(T, Read())
    assert str(caught.value).startswith(f"{T}: cannot open a read session")


def test_a_column_that_cannot_be_one_opens_no_session(serving: Make) -> None:
    script = ScriptedReads(BATCHES)
    with pytest.raises(UsageError, match="cannot be a column"):
        serving(script).read_streams(T, Read(("a b",)))
    assert not script.sessions


def test_nothing_is_read_before_it_is_asked_for(serving: Make) -> None:
    script = ScriptedReads(BATCHES)
    schema = BATCHES[0].schema.serialize().to_pybytes()
    batches = serving(script).read_stream(ReadStream("s", T, schema))
    assert not script.offsets
    assert next(batches).num_rows == 10
