from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.rows import merge_rows

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
