import dataclasses
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.join import Joined, join
from reembed.core.row_errors import RowError
from reembed.core.rows import embedding_array, first_rows, merge_rows, reject_table, row_batches
from reembed.core.schema import REJECT, ROW
from reembed.providers.gemini.answers import read_answers
from support.builders import FINGERPRINT, keyed, lineage, manifest, unit, vectors


def joined(ordinals: list[int], truth: np.ndarray, **tokens: int) -> Joined:
    lines = [keyed(n, truth[n].tolist(), **tokens) for n in reversed(ordinals)]
    answers = read_answers(io.BytesIO(b"".join(lines)))
    return join(answers, FINGERPRINT, ordinals, np.empty((len(ordinals), 8), np.float32))


def rows(*args: Any, **options: Any) -> pa.Table:
    batches = list(row_batches(*args, **{"include_text": True, **options}))
    assert all(batch.num_rows for batch in batches)
    return pa.Table.from_batches(batches, ROW)


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=40),
    st.sets(st.integers(0, 11), min_size=1),
    st.integers(1, 7),
)
def test_each_chunk_gets_the_vector_of_its_request(
    requests: list[int | None], answered: set[int], batch_rows: int
) -> None:
    truth = vectors(12)
    table = rows(
        manifest(requests), joined(sorted(answered), truth), lineage(), batch_rows=batch_rows
    )
    expected = [n for n, request in enumerate(requests) if request in answered]
    assert table["source_index"].to_pylist() == expected
    for row in table.to_pylist():
        request = requests[row["source_index"]]
        np.testing.assert_allclose(row["embedding"], unit(truth[request]), atol=1e-7)
        assert row["key"] == f"notes/{row['source_index']}.txt"


def test_the_first_row_of_each_request() -> None:
    assert first_rows(manifest([None, 0, 1, 0, None, 2, 1])).tolist() == [1, 2, 5]
    assert first_rows(manifest([None, None])).tolist() == []


def test_a_row_has_every_column_and_its_lineage() -> None:
    table = rows(manifest([0, 1]), joined([0, 1], vectors(2), tokenCount=4), lineage())
    assert table.schema == ROW
    row = table.to_pylist()[1]
    assert np.linalg.norm(row.pop("embedding")) == pytest.approx(1, abs=1e-6)
    assert row == {
        "key": "notes/1.txt",
        "source_uri": "/corpus/notes/1.txt",
        "source_index": 1,
        "offset": 0,
        "part": 0,
        "parts": 1,
        "modality": "text",
        "mime_type": "text/plain",
        "start": 0.0,
        "end": 1.0,
        "unit": "char",
        "title": None,
        "text": "the text of note 1",
        "metadata": None,
        "content_hash": f"{1:064x}",
        "model": "gemini-embedding-2",
        "dimensions": 8,
        "task": "retrieval_document",
        "token_count": 4,
        "run": "tide-1",
        "shard": "00000000-000000",
        "job": "batches/0",
        "attempt": "0",
        "embedded_at": datetime(2026, 11, 20, 12, 30, tzinfo=UTC),
        "chunker": "text/1",
        "generation": "7",
        "warnings": ["name disagrees"],
    }


def test_text_only_when_asked() -> None:
    table = rows(manifest([0]), joined([0], vectors(1)), lineage(), include_text=False)
    assert table["text"].to_pylist() == [None]
    assert table.schema == ROW


def test_the_estimate_stands_where_the_service_gave_no_count() -> None:
    chunks = manifest([0, 1], tokens=[70, 80])
    result = joined([0, 1], vectors(2))
    result.tokens[1] = 5
    assert rows(chunks, result, lineage())["token_count"].to_pylist() == [70, 5]


def test_embeddings_of_a_run_of_slots_are_not_copied() -> None:
    matrix = vectors(4).astype(np.float32)
    array = embedding_array(matrix[1:3])
    matrix[1, 0] = 42
    assert array.to_pylist()[0][0] == 42
    assert array.type == pa.list_(pa.float32())
    assert len(array) == 2


def test_a_sliced_manifest_of_many_pieces_is_read_alike() -> None:
    requests = [3, 1, None, 0, 2, 1]
    whole = manifest(requests)
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 3), whole.slice(4)])
    result = joined([0, 1, 2, 3], vectors(4))
    assert rows(pieces, result, lineage()) == rows(whole, result, lineage())


def test_nothing_answered_makes_no_batch() -> None:
    assert (
        list(row_batches(manifest([0]), joined([], vectors(1)), lineage(), include_text=False))
        == []
    )


def test_dimensions_and_time_are_checked() -> None:
    with pytest.raises(ValueError, match="8 values, the lineage says 3072"):
        rows(manifest([0]), joined([0], vectors(1)), lineage(3072))
    with pytest.raises(ValueError, match="2026-11-20T12:30:00: give a time in UTC"):
        dataclasses.replace(lineage(), embedded_at=datetime(2026, 11, 20, 12, 30))
    elsewhere = timezone(timedelta(hours=1))
    with pytest.raises(ValueError, match="give a time in UTC"):
        dataclasses.replace(lineage(), embedded_at=datetime(2026, 11, 20, tzinfo=elsewhere))


def test_rejects_of_the_plan_and_of_requests_in_input_order() -> None:
    plan = {1: ("pdf_encrypted", "give the password", "chunk")}
    chunks = manifest([0, None, 1, 0, 2], rejects=plan)
    errors = {0: RowError("internal", "broke", 13), 2: RowError("missing", "no line")}
    errors[9] = RowError("missing", "a canary's")
    table = reject_table(chunks, errors, lineage(attempt="0.1"))
    assert table.schema == REJECT
    found = [
        (r["source_index"], r["reason"], r["message"], r["stage"], r["attempt"], r["job"])
        for r in table.to_pylist()
    ]
    assert found == [
        (0, "internal", "broke", "embed", "0.1", "batches/0.1"),
        (1, "pdf_encrypted", "give the password", "chunk", "", ""),
        (3, "internal", "broke", "embed", "0.1", "batches/0.1"),
        (4, "missing", "no line", "join", "0.1", "batches/0.1"),
    ]
    assert set(table["shard"].to_pylist()) == {"00000000-000000"}


def test_rejects_of_requests_alone_and_of_nothing() -> None:
    plan = {0: ("empty", "no text", "chunk")}
    errors = {0: RowError("internal", "broke", 13)}
    alone = reject_table(manifest([None, 0], rejects=plan), errors, lineage(), planned=False)
    assert alone["source_index"].to_pylist() == [1]
    assert reject_table(manifest([0, 1]), {}, lineage()).num_rows == 0
    assert reject_table(manifest([None], rejects=plan), {}, lineage())["reason"].to_pylist() == [
        "empty"
    ]


def test_rows_and_rejects_together_are_all_chunks() -> None:
    plan = {2: ("empty", "no text", "chunk")}
    chunks = manifest([0, 1, None, 1, 3], rejects=plan)
    result = joined([0, 1], vectors(4))
    errors = {**result.errors, 3: RowError("missing", "no line")}
    kept = rows(chunks, result, lineage())["source_index"].to_pylist()
    lost = reject_table(chunks, errors, lineage())["source_index"].to_pylist()
    assert sorted(kept + lost) == [0, 1, 2, 3, 4]


_SCHEMA = pa.schema(
    [
        ("source_index", pa.int64()),
        ("offset", pa.int64()),
        ("part", pa.int32()),
        ("from", pa.int8()),
    ]
)
_places = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


def batches(places: list[tuple[int, int, int]], source: int, size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(places), size):
        rows = [(*place, source) for place in places[start : start + size]]
        columns = [pa.array([row[n] for row in rows], f.type) for n, f in enumerate(_SCHEMA)]
        yield pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


@settings(deadline=None)
@given(st.dictionaries(_places, st.integers(0, 3)), st.integers(1, 5))
def test_rows_of_several_streams_come_in_input_order(owners: dict, size: int) -> None:
    streams = [
        batches(sorted(place for place, owner in owners.items() if owner == source), source, size)
        for source in range(4)
    ]
    merged = list(merge_rows(streams))
    assert all(batch.num_rows for batch in merged)
    rows = [tuple(row.values()) for batch in merged for row in batch.to_pylist()]
    assert rows == [(*place, owner) for place, owner in sorted(owners.items())]


def test_one_stream_passes_unchanged() -> None:
    given_batches = list(batches([(0, 0, 0), (0, 0, 1), (2, 0, 0)], 0, 2))
    assert list(merge_rows([given_batches])) == given_batches
    assert list(merge_rows([])) == []


def test_empty_batches_are_passed_over() -> None:
    empty = pa.RecordBatch.from_pylist([], schema=_SCHEMA)
    stream = [empty, *batches([(1, 0, 0)], 0, 1), empty]
    assert sum(batch.num_rows for batch in merge_rows([stream, [empty]])) == 1


def test_only_one_batch_of_each_stream_is_held() -> None:
    taken = []

    def counted(source: int) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(batches([(n, source, 0) for n in range(100)], source, 10)):
            taken.append((source, number))
            yield batch

    merged = merge_rows([counted(0), counted(1)])
    next(merged)
    assert len(taken) <= 4


def test_a_chunk_in_two_streams_is_an_error() -> None:
    streams = [batches([(0, 0, 0), (5, 1, 2)], 0, 9), batches([(5, 1, 2)], 1, 9)]
    with pytest.raises(ValueError, match=r"the chunk at \(5, 1, 2\) .* is there twice"):
        list(merge_rows(streams))


def test_a_stream_out_of_order_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(1, 0, 0\) .* comes after \(2, 0, 0\)"):
        list(merge_rows([batches([(2, 0, 0), (1, 0, 0)], 0, 1)]))
