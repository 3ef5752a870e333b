"""Which older rows a run replaces: those of other content, and of the parts that it wrote."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from reembed.destinations.replace import Replacement


def table(*rows: tuple[str, str, int]) -> pa.Table:
    names = ["key", "content_hash", "part"]
    return pa.table([list(column) for column in zip(*rows, strict=True)], names=names)


RUN = table(("a", "new", 0), ("a", "new", 1), ("b", "same", 1))


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        (("a", "old", 0), "replaced"),
        # A part that the new content does not have any more.
        (("a", "old", 7), "replaced"),
        (("b", "same", 1), "replaced"),
        # The plan left this part out because the row is there.
        (("b", "same", 0), "stays"),
        (("c", "x", 0), "stays"),
        (("gone", "x", 0), "deleted"),
    ],
)
def test_what_becomes_of_an_older_row(row: tuple[str, str, int], outcome: str) -> None:
    found = Replacement.by([RUN], ["gone"]).apply(table(row))
    counts: dict[str, Any] = {"replaced": (1, 0), "deleted": (0, 1), "stays": (0, 0)}
    assert (found.replaced, found.deleted) == counts[outcome]
    assert found.keep.to_pylist() == [outcome == "stays"] == [found.all_stay]


def test_a_row_that_was_replaced_is_not_deleted_too() -> None:
    found = Replacement.by([RUN], ["a"]).apply(table(("a", "old", 0), ("d", "x", 0)))
    assert (found.replaced, found.deleted, found.keep.to_pylist()) == (1, 0, [False, True])
