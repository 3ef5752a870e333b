"""Keys on their way into buckets: however many are split together, each comes once."""

from __future__ import annotations

import pytest

from reembed.beam.blocks import from_bytes
from reembed.beam.check_keys import GatheredKeys
from reembed.core.keys import bucket_of
from reembed.sources.base import Block
from reembed.types import Item, Position


def split(most: int, blocks: list[Block]) -> list[tuple[str, int, int]]:
    gathered = GatheredKeys(most)
    given = [each for block in blocks for each in gathered.add(block)]
    given += gathered.rest()
    found = []
    for bucket, keys in given:
        rows = from_bytes(keys.keys).to_pylist()
        assert rows
        assert all(bucket_of(row["key"]) == bucket for row in rows)
        found += [(row["key"], row["source_index"], row["offset"]) for row in rows]
    assert list(gathered.rest()) == []
    return sorted(found)


@pytest.mark.parametrize("most", [1, 45, 100, 1000])
def test_every_key_comes_once(most: int) -> None:
    items = [Item(f"k{n % 90}", "table", Position(n, 7)) for n in range(100)]
    blocks = [Block(0, tuple(items[start : start + 20])) for start in range(0, 100, 20)]
    assert split(most, blocks) == sorted((f"k{n % 90}", n, 7) for n in range(100))


def test_no_blocks_give_nothing() -> None:
    assert split(1, []) == []
