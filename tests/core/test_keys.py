"""Keys that came twice are named, keys that are gone are found, bucket by bucket."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.keys import BUCKETS, KEYS, SEEN, bucket_of, check_bucket, into_buckets

SOME = st.lists(st.text(max_size=3), max_size=40)


def seen(keys):
    columns = [pa.array(keys, pa.string()), pa.array(range(len(keys))), pa.array([0] * len(keys))]
    return pa.table([column.cast(f.type) for column, f in zip(columns, SEEN, strict=True)], SEEN)


@settings(deadline=None)
@given(SOME, SOME)
def test_every_key_is_looked_at_once(keys, there):
    existing = into_buckets(pa.table([pa.array(sorted(set(there)), pa.string())], KEYS))
    buckets = into_buckets(seen(keys))
    none = pa.table({"key": pa.array([], pa.string())})
    doubled = total = 0
    gone = []
    for bucket in range(BUCKETS):
        found, lost = check_bucket(
            bucket,
            buckets.get(bucket, seen([])),
            existing.get(bucket, none).column("key").combine_chunks(),
        )
        doubled += found.doubled
        total += found.keys
        assert found.removed == lost.num_rows
        assert lost.schema == KEYS
        gone += lost.column("key").to_pylist()
        assert all(bucket_of(key) == bucket for key in lost.column("key").to_pylist())
    assert total == len(set(keys))
    assert doubled == sum(count > 1 for count in Counter(keys).values())
    assert sorted(gone) == sorted(set(there) - set(keys))


def test_examples_name_the_key_and_its_places():
    [(bucket, table)] = into_buckets(seen(["a"] * 5)).items()
    found, gone = check_bucket(bucket, table, None)
    assert found.examples == ("'a' (5 times, at 0, 1, 2)",)
    assert (found.doubled, gone.num_rows) == (1, 0)


def test_examples_of_a_table_read_by_keys_have_no_places():
    keys = seen(["a"] * 3).set_column(1, SEEN.field(1), pa.array([0] * 3, pa.int64()))
    [(bucket, table)] = into_buckets(keys).items()
    assert check_bucket(bucket, table, None)[0].examples == ("'a' (3 times)",)
