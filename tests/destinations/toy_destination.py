"""A destination from another package: ``destination: {one_file: {path: /…}}``, a Parquet file."""

from typing import Any

from pyarrow import compute, concat_tables, parquet

from reembed.config.base import Section
from reembed.core.schema import ROW
from reembed.destinations.base import Destination, DestinationKind, Published
from reembed.destinations.replace import Replacement
from reembed.registry import add


class OneFile(Section):
    path: str


class OneFileTable(Destination):
    def __init__(self, config: Any, run_dir: Any, report: Any) -> None:
        self.path = p = config.destination.added(OneFile).path
        self.parts = run_dir.parts
        self.table = parquet.read_table(p) if any(run_dir.storage.list(p)) else ROW.empty_table()

    def identity(self) -> Any:
        yield repr(self.table.to_pylist()).encode()

    def existing(self) -> Any:
        return self.table.to_batches()

    def rows(self, keys: Any) -> Any:
        return self.table.filter(compute.field("key").isin(list(keys))).to_batches()

    def publish(self, settled: Any, removed: Any) -> Published:
        fresh = [parquet.read_table(p.uri, schema=ROW) for p in self.parts(settled.commit)]
        older = Replacement.by(fresh, removed).apply(self.table)
        parquet.write_table(concat_tables([self.table.filter(older.keep), *fresh]), self.path)
        return Published(settled.rows, older.replaced, older.deleted)


add("reembed.destinations", "one_file", DestinationKind(OneFileTable, OneFile))
