"""A sample is the same everywhere, and grows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import UsageError
from reembed.storage.listing import sample_items
from reembed.types import Item, Position

keys = st.lists(st.text("abcé/", min_size=1), unique=True, max_size=30).map(sorted)

PINNED = ["014.txt", "037.txt", "077.txt"]


def numbered(names: list[str]) -> list[Item]:
    return [Item(name, f"/{name}", Position(n), 1, "1") for n, name in enumerate(names)]


@given(keys, st.integers(1, 40))
def test_sample_is_the_smallest_hashes_in_input_order(names: list[str], count: int) -> None:
    items = numbered(names)
    ranked = sorted(items, key=lambda item: hashlib.sha256(item.key.encode()).hexdigest())

    chosen = sample_items(items, count)

    assert chosen == sorted(ranked[:count], key=lambda item: item.position)


@given(keys, st.integers(1, 20), st.integers(0, 20))
def test_larger_sample_holds_the_smaller(names: list[str], count: int, more: int) -> None:
    items = numbered(names)

    assert set(sample_items(items, count)) <= set(sample_items(items, count + more))


def test_sample_is_the_same_on_every_machine() -> None:
    items = numbered([f"{number:03}.txt" for number in range(100)])

    assert [item.key for item in sample_items(items, 3)] == PINNED
    assert [item.position.index for item in sample_items(items, 3)] == [
        int(key[:3]) for key in PINNED
    ]


@pytest.mark.parametrize("count", [0, -1])
def test_sample_of_nothing_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"a sample of {count} items: give 1 or more"):
        sample_items(numbered(["a"]), count)
