"""Parts of earlier runs lose what a later run replaced or what is gone, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.config.load import config_from_mapping
from reembed.core.schema import ROW
from reembed.destinations.base import EXISTING, SettledRun, drop_older_rejects
from reembed.destinations.open import open_destination
from reembed.destinations.parquet import ParquetParts
from reembed.destinations.parts import part_metadata, write_part
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.storage.local import LocalStorage
from support.counting import CountingStorage

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def parts(tmp_path: Path) -> ParquetParts:
    data = {"name": "t", "source": {"files": ["*"]}, "run_dir": str(tmp_path / "run")}
    (tmp_path / "run" / "vectors").mkdir(parents=True)
    (tmp_path / "run" / "rejects").mkdir()
    config = config_from_mapping(data, tmp_path).config
    found = open_destination(config, open_run_dir(config.run_dir))
    assert isinstance(found, ParquetParts)
    return found


def row(key: str, content: str = "x", part: int = 0, index: int = 0) -> dict[str, Any]:
    texts = {f.name: "t" for f in ROW if pa.types.is_string(f.type)}
    numbers = {f.name: 1 for f in ROW if pa.types.is_integer(f.type)}
    return {
        **texts,
        **numbers,
        "key": key,
        "content_hash": content,
        "part": part,
        "source_index": index,
        "start": None,
        "end": None,
        "embedding": [1.0, 0.0],
        "embedded_at": WHEN,
        "warnings": None,
    }


def write(tmp_path: Path, commit: int, *rows: dict[str, Any], seq: int = 0) -> Path:
    path = tmp_path / "run" / "vectors" / f"part-{commit:04}-00000000-{seq:06}.parquet"
    table = pa.Table.from_pylist(list(rows), ROW)
    write_part(path, table.to_batches(), part_metadata(f"run{commit}", "m", 2, "t", ["text/1"]))
    return path


def keys_in(path: Path) -> list[tuple[str, str, int]]:
    table = pq.read_table(path, columns=["key", "content_hash", "part"])
    return [(r["key"], r["content_hash"], r["part"]) for r in table.to_pylist()]


def publish(parts: ParquetParts, commit: int = 2, removed: tuple[str, ...] = (), rows: int = 0):
    return parts.publish(SettledRun(commit, f"run{commit}", 0, rows), removed)


def test_rows_of_other_content_and_gone_keys_go(parts: ParquetParts, tmp_path: Path) -> None:
    old = write(
        tmp_path,
        1,
        row("changed", "v1", 0),
        row("changed", "v1", 1),
        row("same", "s", 0),
        row("same", "s", 1),
        row("gone"),
        row("kept"),
    )
    untouched = write(tmp_path, 1, row("kept2"), seq=1)
    before = untouched.stat().st_mtime_ns
    # Of `same` somebody had lost part 1, which came again; of `changed` only one part is left.
    new = write(tmp_path, 2, row("changed", "v2", 0), row("same", "s", 1), row("fresh"))
    done = publish(parts, removed=("gone",), rows=3)
    assert keys_in(old) == [("same", "s", 0), ("kept", "x", 0)]
    assert (done.inserted, done.replaced, done.deleted) == (3, 3, 1)
    assert len(keys_in(new)) == 3
    assert untouched.stat().st_mtime_ns == before
    metadata = pq.read_metadata(old).metadata
    assert metadata[b"reembed.run"] == b"run1"
    assert pq.read_schema(old).equals(ROW)
    # Again, as after a crash: the same.
    assert publish(parts, removed=("gone",)).replaced == 0
    assert keys_in(old) == [("same", "s", 0), ("kept", "x", 0)]


def test_a_part_without_rows_goes_whole(parts: ParquetParts, tmp_path: Path) -> None:
    old = write(tmp_path, 1, row("a"), row("b"))
    write(tmp_path, 2, row("a", "new"), row("b", "new"))
    publish(parts)
    assert not old.exists()


def test_rejects_of_earlier_runs_go(parts: ParquetParts, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "rejects"
    for name in ("part-0001-00000000-000000.parquet", "part-0002-00000000-000000.parquet"):
        (folder / name).write_bytes(b"x")
    drop_older_rejects(parts._run_dir, 2)
    assert [path.name for path in folder.iterdir()] == ["part-0002-00000000-000000.parquet"]


def test_what_it_holds(parts: ParquetParts, tmp_path: Path) -> None:
    assert list(parts.existing()) == []
    empty = b"".join(parts.identity())
    write(tmp_path, 1, row("a", "x", 0), row("a", "x", 1))
    write(tmp_path, 1, row("b"), seq=1)
    table = pa.Table.from_batches(list(parts.existing()))
    assert table.column_names == EXISTING.names
    assert table.column("key").to_pylist() == ["a", "a", "b"]
    [found] = parts.rows(["b", "nobody"])
    assert found.schema.equals(ROW)
    assert found.column("key").to_pylist() == ["b"]
    assert b"".join(parts.identity()) != empty


def test_parts_are_read_side_by_side(parts: ParquetParts, tmp_path: Path) -> None:
    for seq in range(20):
        write(tmp_path, 1, row(f"old-{seq}"), row(f"kept-{seq}"), seq=seq)
    write(tmp_path, 2, *(row(f"old-{seq}", "new") for seq in range(20)))
    storage = CountingStorage(LocalStorage(), gather=9)
    slow = ParquetParts(parts._config, RunDir(storage, parts._run_dir.layout))
    assert sum(batch.num_rows for batch in slow.existing()) == 60
    assert storage.max_concurrent > 8
    found = pa.Table.from_batches(list(slow.rows(["kept-3", "old-5"])))
    assert found.column("key").to_pylist() == ["kept-3", "old-5", "old-5"]
    assert publish(slow).replaced == 20
    # For `existing`, for `rows`, for both runs' keys, and each part that lost a row.
    assert storage.counts["open"] == 21 + 21 + 21 + 20
