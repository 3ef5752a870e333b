"""What is held is found, what is not is not, and a content's donor is always the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.existing import (
    INDEX,
    ExistingRows,
    content_names,
    digests,
    index_of,
    row_names,
    skip_existing,
)
from reembed.core.schema import MANIFEST

NAMES = ("key", "content_hash", "part", "reject_code")

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ü", ""]), st.sampled_from("xyz"), st.integers(0, 2)),
    max_size=20,
)


def batch(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    kinds = (pa.string(), pa.string(), pa.int32())
    arrays = [pa.array(c, kind) for c, kind in zip(columns, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=["key", "content_hash", "part"])


@settings(deadline=None)
@given(ROWS, ROWS, st.integers(1, 5))
def test_what_is_held_is_found_and_nothing_else(held, asked, cut):
    batches = [batch(held[at : at + cut]) for at in range(0, len(held), cut)]
    index = index_of(batches)
    assert index.schema == INDEX
    found = ExistingRows.of(index)
    assert len(found) == len(held)
    columns = [list(column) for column in zip(*asked, strict=True)] or [[], [], []]
    assert found.contains(row_names(*columns)).tolist() == [row in held for row in asked]
    contents = [row[1:] for row in held]
    donors = found.donors(content_names(*columns[1:]))
    for (_, *content), donor in zip(asked, donors, strict=True):
        assert (donor is not None) == (tuple(content) in contents)
        assert donor is None or (donor, *content) in held


def test_the_donor_does_not_depend_on_the_order_of_the_rows():
    rows = [(f"k{n}", "x", 0) for n in range(50)]
    one, two = (ExistingRows.of(index_of([batch(r)])) for r in (rows, rows[::-1]))
    assert one.donors([b"x\x000"]) == two.donors([b"x\x000"])


def test_names_cannot_be_mistaken_for_each_other():
    names = [*row_names(["a", "a\0"], ["h", "h"], [1, 1]), *row_names(["1\0a"], ["h"], [1])]
    assert len(set(names)) == 3


def test_digests_have_two_halves():
    found = digests([b"a", b"b", b"a"])
    assert (found.shape, found.dtype) == ((3, 2), np.dtype(np.uint64))
    assert (found[0] == found[2]).all()
    assert not (found[0] == found[1]).any()
    assert digests([]).shape == (0, 2)


def manifest(*rows):
    """Chunks of (key, content_hash, part, reject_code)."""
    columns = {name: [row[n] for row in rows] for n, name in enumerate(NAMES)}
    made = {
        field.name: pa.array(columns.get(field.name, [None] * len(rows)), field.type)
        for field in MANIFEST
    }
    return pa.table(made)


def test_held_chunks_are_left_out_and_moved_ones_name_their_donor():
    existing = ExistingRows.of(index_of([batch([("a", "x", 0), ("a", "x", 1), ("b", "y", 0)])]))
    chunks = manifest(
        ("a", "x", 0, None),
        ("a", "z", 1, None),
        ("c", "y", 0, None),
        ("b", "y", 0, "empty"),
        ("a", "x", 2, None),
    )
    kept, skipped = skip_existing(chunks, existing)
    assert skipped == 1
    assert kept.column("key").to_pylist() == ["a", "c", "b", "a"]
    assert kept.column("donor").to_pylist() == [None, "b", None, None]
    assert skip_existing(chunks, ExistingRows.of(index_of([]))) == (chunks, 0)
