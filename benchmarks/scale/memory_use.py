"""Bytes of memory of what is held for each item, key, shard or attempt, weighed on real objects."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import pyarrow as pa

from reembed.core.existing import ExistingRows, index_of
from reembed.core.names import shard_id
from reembed.core.plans import ShardPlan
from reembed.core.records import ReservationLine
from reembed.destinations.base import EXISTING
from reembed.machine.reservations import Reservations
from reembed.storage.base import Stat
from reembed.storage.listing import number_items
from support.memory import MemoryStorage
from support.planted import Planted

_MANY = 4_000
_KEY = "gs://bucket/corpus/2026/section-{:010}.txt"


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of one each; `fresh` is a key of an increment at its hand-over."""

    item: float
    held: float
    key: float
    plan: float
    settled: float
    attempt: float
    fresh: float


def weigh() -> Bytes:
    """Make some thousands of each and see what they take."""
    planted = Planted(MemoryStorage(), _MANY, 20, 900)
    names = [shard_id(*divmod(number, 20)) for number in range(_MANY)]
    keys = [_KEY.format(number) for number in range(_MANY)]
    settled = planted.settled_of(names[0])
    return Bytes(
        item=_each(_items),
        held=_held(keys),
        key=float(len(keys[0]) + 4 + 16),
        plan=_each(lambda: [_decoded(planted.plan_of(name)) for name in names]),
        settled=_each(lambda: [settled.model_copy(deep=True) for _ in names]),
        attempt=_each(lambda: _book(names)),
        fresh=_each(lambda: ({_copy(k): _copy("f" * 64) for k in keys}, {(k, 0) for k in keys})),
    )


def _each(make: Callable[[], object]) -> float:
    gc.collect()
    tracemalloc.start()
    kept = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del kept
    return size / _MANY


def _items() -> object:
    stats = [
        Stat(_KEY.format(n), 2000, 1.8e9, f"{1795254334046312 + n}", f"crc32c:{n:08}")
        for n in range(_MANY)
    ]
    return number_items(stats, lambda uri: uri)


def _decoded(plan: ShardPlan) -> ShardPlan:
    return ShardPlan.model_validate_json(plan.model_dump_json())


def _copy(text: str) -> str:
    return "".join(list(text))


def _book(names: list[str]) -> Reservations:
    reservations = Reservations()
    for name in names:
        attempt = f"{name}/0"
        reserve = ReservationLine(kind="reserve", attempt=attempt, epoch=1)
        reservations = reservations.add(
            reserve, ReservationLine(kind="end", attempt=attempt, epoch=1)
        )
    return reservations


def _held(keys: list[str]) -> float:
    """The index itself, which workers map, and what is made of it in each."""
    columns = [keys, [f"{n:064x}" for n in range(_MANY)], [0] * _MANY, [1] * _MANY]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, EXISTING, strict=True)]
    index = index_of([pa.RecordBatch.from_arrays(arrays, schema=EXISTING)])
    made = ExistingRows.of(index)
    extra = made.by_content.nbytes + sum(numbers.nbytes for numbers in made.contents)
    return (index.nbytes + extra) / _MANY
