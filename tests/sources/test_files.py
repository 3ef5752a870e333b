"""A listing is written by partitions and read back span by span, each item once."""

from __future__ import annotations

from pathlib import Path

from reembed.core.names import PARTITION_ITEMS
from reembed.ledger.run_dir import open_run_dir
from reembed.sources.base import BLOCK_ITEMS
from reembed.sources.files import ListingSource
from reembed.storage.local import LocalStorage
from reembed.types import Item, ItemPart, Position, Reject


def items(*indexes: int) -> list[Item]:
    return [Item(f"k{index}", f"/x/{index}", Position(index), 3, "g1") for index in indexes]


def test_spans_hold_every_item_once_in_its_partition(tmp_path: Path) -> None:
    listed = items(*range(1500), PARTITION_ITEMS - 1, PARTITION_ITEMS, 3 * PARTITION_ITEMS + 7)
    prepared = ListingSource(listed).prepare(open_run_dir(str(tmp_path)), "p")
    assert prepared.items == len(listed)
    blocks = [b for span in prepared.spans for b in prepared.reader.read(LocalStorage(), span)]
    assert all(len(block.items) <= BLOCK_ITEMS for block in blocks)
    assert [item for block in blocks for item in block.items] == listed
    for block in blocks:
        assert {item.position.index // PARTITION_ITEMS for item in block.items} == {block.partition}


def test_everything_of_an_item_comes_back(tmp_path: Path) -> None:
    listed = [
        Item("a", "gs://b/m.jsonl", Position(0, 12), title="T", metadata="{}", text="words"),
        Item("b", "gs://b/m.jsonl", Position(1, 40), parts=(ItemPart("x"), ItemPart(uri="gs://c"))),
        Item("c", "gs://b/m.jsonl", Position(2, 90), reject=Reject("bad_line", "no", "list")),
    ]
    prepared = ListingSource(listed).prepare(open_run_dir(str(tmp_path)), "p")
    [block] = prepared.reader.read(LocalStorage(), prepared.spans[0])
    assert list(block.items) == listed


def test_the_identity_tells_states_apart() -> None:
    one = b"".join(ListingSource(items(0, 1)).identity())
    assert one == b"".join(ListingSource(items(0, 1)).identity())
    assert one != b"".join(ListingSource(items(0)).identity())
