"""Snapshot of a table, fixed once a plan: moment, row count, borders of partitions."""

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
from reembed.storage.listing import sample_digest

# A row restriction may have 1 MB:
# https://cloud.google.com/bigquery/docs/reference/storage/rpc/google.cloud.bigquery.storage.v1
_MOST_RESTRICTION = 500_000


class Snapshot(Record):
    """`source/snapshot.json` of a plan; by it, a plan that was cut off goes on with the same rows.

    `moment` is in milliseconds since the epoch by the service's clock; None: the table cannot
    change. `items` counts all rows, the `keyless` among them. `borders` cut the keys into
    partitions. Of a sample, `most` is the largest digest that is included, in hex, and `only`
    the condition on its keys, where that is not too long for a read session.
    """

    moment: int | None
    items: int
    keyless: int = 0
    borders: tuple[int, ...] | tuple[str, ...] = ()
    most: str = ""
    only: str = ""


@dataclass(frozen=True, slots=True)
class Keys:
    """Column of keys to take a snapshot of; `changes` says that the table may be written to."""

    bigquery: BigQuery
    table: Table
    key: str
    where: str
    location: str
    changes: bool


def take_snapshot(keys: Keys, sample: int | None) -> Snapshot:
    """Choose the moment, count the rows and find the borders; of a sample, those of its keys."""
    moment = int(_row(keys, CLOCK_SQL)["now"]) if keys.changes else None
    return _whole(keys, moment) if sample is None else _sampled(keys, moment, sample)


def _whole(keys: Keys, moment: int | None) -> Snapshot:
    source = source_sql(keys.table.name, moment, keys.where)
    # The table's own count leaves out rows that were streamed in last, and says nothing about a
    # condition: so even a small table is counted, by the query that finds the borders.
    expected = 1 if keys.where else _partitions(keys.table.rows)
    found = _row(keys, borders_sql(source, keys.key, expected))
    items, keyless = int(found["row_count"]), int(found["keyless_count"])
    partitions = _partitions(items)
    if partitions not in (1, expected):
        found = _row(keys, borders_sql(source, keys.key, partitions))
    borders = borders_of(found["quantiles"] or ()) if partitions > 1 else ()
    return Snapshot(moment=moment, items=items, keyless=keyless, borders=_alike(borders))


def _sampled(keys: Keys, moment: int | None, sample: int) -> Snapshot:
    """Choose the keys with the smallest digests, reading the column of keys alone.

    A hash in SQL would be billed as a query, six times more a byte than a read.
    """
    times: Counter[Key] = Counter()
    digests: dict[bytes, Key] = {}
    for key in _read_keys(keys, moment):
        digests[sample_digest(str(key))] = key
        times[key] += 1
        if len(digests) > 2 * sample + 1000:
            # Keys that are beyond the sample now stay so: counts of those that are kept are whole.
            digests = {each: digests[each] for each in heapq.nsmallest(sample, digests)}
            times = Counter({kept: times[kept] for kept in digests.values()})
    chosen = heapq.nsmallest(sample, digests)
    included = sorted(digests[each] for each in chosen)
    only = key_in(keys.key, included) if included else ""
    return Snapshot(
        moment=moment,
        items=sum(times[key] for key in included),
        borders=_alike(included[PARTITION_ITEMS::PARTITION_ITEMS]),
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
    """Type borders for the record: all strings or all integers, as their column is."""
    return tuple(borders)


def _row(keys: Keys, sql: str) -> dict[str, Any]:
    job = keys.bigquery.query(Statement(sql, location=keys.location))
    for batch in keys.bigquery.results(job):
        row: dict[str, Any] = batch.slice(0, 1).to_pylist()[0]
        return row
    raise BigQueryError(f"{keys.table.name}: job {job.id} returned no row; run again")
