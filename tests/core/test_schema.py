"""Columns of rows, rejects and manifests: what they share is the same column."""

from __future__ import annotations

import pytest

from reembed.core.schema import INPUT_ORDER, MANIFEST, REJECT, ROW


@pytest.mark.parametrize("schema", [ROW, REJECT, MANIFEST], ids=["row", "reject", "manifest"])
def test_every_table_can_be_sorted_into_the_order_of_the_input(schema: object) -> None:
    names = set(schema.names)  # type: ignore[attr-defined]
    assert set(INPUT_ORDER) <= names
    assert len(names) == len(schema.names)  # type: ignore[attr-defined]


@pytest.mark.parametrize("other", [REJECT, MANIFEST], ids=["reject", "manifest"])
def test_a_column_of_one_name_has_one_type(other: object) -> None:
    shared = set(ROW.names) & set(other.names)  # type: ignore[attr-defined]
    assert {"key", "source_uri", "part", "modality"} <= shared
    for name in shared - {"token_count"}:
        assert ROW.field(name) == other.field(name)  # type: ignore[attr-defined]


def test_a_vector_is_of_float32() -> None:
    assert str(ROW.field("embedding").type) == "list<item: float>"
