"""Snapshot of a table before reading: the moment, the row count, the partition borders."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reembed.bigquery.base import BigQuery, Read, Statement, Table
from reembed.bigquery.partitions import Key, borders_of
from reembed.bigquery.sql import CLOCK_SQL, borders_sql, key_in, source_sql
from reembed.core.names import PARTITION_ITEMS
from reembed.core.records import Record
from reembed.errors import BigQueryError
from reembed.sources.rows import sample_digest

# A row restriction may have 1 MB:
# https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
_MOST_RESTRICTION = 500_000


class Snapshot(Record):
    """`source/snapshot.json` of a plan; a plan that is taken up again reads the same by it.

    `moment` is in milliseconds since the epoch by the service's clock; None: what is read cannot
    change. `items` counts all rows, the `keyless` among them. `borders` part the keys into
    partitions. Of a sample, `most` is the largest digest that is taken, in hex, and `only` the
    condition on its keys, where that is not too long.
    """

    moment: int | None
    items: int
    keyless: int = 0
    borders: tuple[int, ...] | tuple[str, ...] = ()
    most: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """Where keys are asked for: a table that may be read as it was, a column, a condition."""

    bigquery: BigQuery
    table: Table
    key: str
    where: str
    location: str
    changes: bool


def take_snapshot(keys: Keys, sample: int | None) -> Snapshot:
    """Choose the moment, count the rows and find the borders; or the same of a sample's keys."""
    moment = int(_row(keys, CLOCK_SQL)["now"]) if keys.changes else None
    return _whole(keys, moment) if sample is None else _sampled(keys, moment, sample)


def _whole(keys: Keys, moment: int | None) -> Snapshot:
    source = source_sql(keys.table.name, moment, keys.where)
    # Rows that were streamed in are not in the table's own count yet, and nobody knows what a
    # condition leaves: so even a small table is counted by a query.
    expected = 1 if keys.where else _partitions(keys.table.rows)
    found = _row(keys, borders_sql(source, keys.key, expected))
    items, keyless = int(found["row_count"]), int(found["keyless_count"])
    partitions = _partitions(items)
    if partitions not in (1, expected):
        found = _row(keys, borders_sql(source, keys.key, partitions))
    borders = borders_of(found["quantiles"] or ()) if partitions > 1 else ()
    return Snapshot(moment=moment, items=items, keyless=keyless, borders=_alike(borders))


def _sampled(keys: Keys, moment: int | None, sample: int) -> Snapshot:
    """Read the column of keys alone: a hash in SQL would cost six times more a byte."""
    times: Counter[Key] = Counter()
    digests: dict[bytes, Key] = {}
    for key in _read_keys(keys, moment):
        digests[sample_digest(str(key))] = key
        times[key] += 1
        if len(digests) > 2 * sample + 1000:
            # What is beyond the sample now is so for good, so counts of what stays are whole.
            digests = {each: digests[each] for each in heapq.nsmallest(sample, digests)}
            times = Counter({kept: times[kept] for kept in digests.values()})
    chosen = heapq.nsmallest(sample, digests)
    taken = sorted(digests[each] for each in chosen)
    only = key_in(keys.key, taken) if taken else ""
    return Snapshot(
        moment=moment,
        items=sum(times[key] for key in taken),
        borders=_alike(taken[PARTITION_ITEMS::PARTITION_ITEMS]),
        most=chosen[-1].hex() if chosen else "",
        only=only if len(only.encode()) <= _MOST_RESTRICTION else "",
    )


def _read_keys(keys: Keys, moment: int | None) -> Iterator[Key]:
    read = Read((keys.key,), keys.where, moment)
    for stream in keys.bigquery.read_streams(keys.table.name, read):
        for batch in keys.bigquery.read_stream(stream):
            yield from (key for key in batch.column(0).to_pylist() if key not in (None, ""))


def _partitions(rows: int) -> int:
    return max(1, -(-rows // PARTITION_ITEMS))


def _alike(borders: Sequence[Key]) -> Any:
    """Borders as a record takes them: all of one type, which their column sees to."""
    return tuple(borders)


def _row(keys: Keys, sql: str) -> dict[str, Any]:
    job = keys.bigquery.query(Statement(sql, location=keys.location))
    for batch in keys.bigquery.results(job):
        row: dict[str, Any] = batch.slice(0, 1).to_pylist()[0]
        return row
    raise BigQueryError(f"{keys.table.name}: job {job.id} returned no row; run again")
