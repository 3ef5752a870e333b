"""Check keys: find those that came twice, and those that the source no longer has.

A key that comes twice would have two rows, and a reader that joins by key would take either. Keys
are gathered in buckets by their hash, since no worker sees all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import with_input_types, with_output_types
from apache_beam.utils.windowed_value import WindowedValue

from reembed.beam.blocks import SeenKeys, from_bytes, to_bytes
from reembed.core.keys import BUCKETS, SEEN, KeyFindings, check_bucket, into_buckets
from reembed.errors import ObjectNotFoundError
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import Block
from reembed.storage.base import Storage

# Keys that are split into buckets together: a block alone would leave a few to a bucket, and each
# share of a bucket is a stream of its own.
_MOST_KEYS = 1 << 16


def seen_in(block: Block) -> pa.Table:
    """Take the keys of a block, schema `SEEN`; a row without a key was given one of its own."""
    columns = [
        [item.key for item in block.items],
        [item.position.index for item in block.items],
        [item.position.offset for item in block.items],
    ]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, SEEN, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SEEN)


class GatheredKeys:
    """Gathers keys of many blocks, and splits them by bucket.

    Args:
        most: number of keys that are split together.
    """

    def __init__(self, most: int = _MOST_KEYS) -> None:
        self._most, self._count = most, 0
        self._tables: list[pa.Table] = []

    def add(self, block: Block) -> Iterator[tuple[int, SeenKeys]]:
        """Add a block's keys; yield all that are gathered when they are enough."""
        self._tables.append(seen_in(block))
        self._count += len(block.items)
        if self._count >= self._most:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[int, SeenKeys]]:
        """Yield all that are gathered, and start over."""
        tables, self._tables, self._count = self._tables, [], 0
        if tables:
            for bucket, keys in into_buckets(pa.concat_tables(tables)).items():
                yield bucket, SeenKeys(to_bytes(keys))


def write_findings(
    run_dir: RunDir, plan: str, bucket: int, seen: Iterable[SeenKeys], removed: bool
) -> KeyFindings:
    """Check one bucket and write the findings; with `removed`, also the keys that are gone."""
    tables = [from_bytes(each.keys) for each in seen]
    table = pa.concat_tables([SEEN.empty_table(), *tables])
    storage, layout = run_dir.storage, run_dir.layout
    existing = _existing_keys(storage, layout.existing_keys(plan, bucket)) if removed else None
    findings, lost = check_bucket(bucket, table, existing)
    if lost.num_rows:
        buffer = pa.BufferOutputStream()
        pq.write_table(lost, buffer)
        storage.put(layout.removed_keys(plan, bucket), buffer.getvalue().to_pybytes())
    storage.put(layout.key_findings(plan, bucket), findings.encode())
    return findings


def _existing_keys(storage: Storage, uri: str) -> pa.Array:
    try:
        table = from_bytes(storage.read(uri))
    except ObjectNotFoundError:
        return pa.array([], pa.string())  # the destination has no key in this bucket
    return table.column("key").combine_chunks()


@with_input_types(Block)
@with_output_types(KeyFindings)
class CheckKeys(beam.PTransform):
    """Check the keys of blocks, and write the findings under the plan.

    Input: `Block`. Output: `KeyFindings`, one a bucket.

    Args:
        run_dir: run directory of the plan.
        plan: the plan's id.
        removed: look for keys of the destination that the source no longer has.
    """

    def __init__(self, run_dir: RunDir, plan: str, removed: bool) -> None:
        super().__init__()
        self._run_dir, self._plan, self._removed = run_dir, plan, removed

    def expand(self, blocks: beam.PCollection[Block]) -> beam.PCollection[KeyFindings]:
        """Gather each bucket, then check it; buckets that no key fell into are checked too."""
        every = blocks.pipeline | "Buckets" >> beam.Create(
            [(bucket, SeenKeys(to_bytes(SEEN.empty_table()))) for bucket in range(BUCKETS)]
        )
        seen = blocks | "Keys" >> beam.ParDo(_Keys())  # (bucket, SeenKeys)
        return (
            (seen, every)
            | "AllKeys" >> beam.Flatten()
            | "Gather" >> beam.GroupByKey()  # (bucket, keys)
            | "Check" >> beam.ParDo(_Check(self._run_dir, self._plan, self._removed))  # KeyFindings
        )


@with_input_types(Block)
@with_output_types(tuple[int, SeenKeys])
class _Keys(beam.DoFn):
    def start_bundle(self) -> None:
        self._gathered = GatheredKeys()

    def process(self, element: Block) -> Iterator[tuple[int, SeenKeys]]:
        yield from self._gathered.add(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for each in self._gathered.rest():
            yield GlobalWindows.windowed_value_at_end_of_window(each)


@with_input_types(tuple[int, Iterable[SeenKeys]])
@with_output_types(KeyFindings)
class _Check(beam.DoFn):
    def __init__(self, run_dir: RunDir, plan: str, removed: bool) -> None:
        self._run_dir, self._plan, self._removed = run_dir, plan, removed

    def process(self, element: tuple[int, Iterable[SeenKeys]]) -> Iterator[KeyFindings]:
        bucket, seen = element
        yield write_findings(self._run_dir, self._plan, bucket, seen, self._removed)
