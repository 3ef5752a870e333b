"""The values that travel between the stages."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, is_dataclass

import pytest

from reembed import types
from reembed.types import Item, Position

VALUES = [
    kind
    for kind in vars(types).values()
    if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == types.__name__
]


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
def test_values_are_slotted(kind: type) -> None:
    assert "__slots__" in vars(kind)


def test_a_value_does_not_change_and_travels() -> None:
    item = Item("k", "/a.txt", Position(3), text="words")
    with pytest.raises(FrozenInstanceError):
        item.key = "other"
    assert pickle.loads(pickle.dumps(item)) == item


def test_positions_sort_by_index_and_then_by_offset() -> None:
    assert sorted([Position(1), Position(0, 9), Position(0, 2)]) == [
        Position(0, 2),
        Position(0, 9),
        Position(1),
    ]
