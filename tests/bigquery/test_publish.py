"""Parts are shared out to few load jobs, the same each time."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reembed.bigquery.publish import groups_of, source_of, stage_parts, write_keys
from reembed.storage.base import Stat
from reembed.storage.local import LocalStorage
from support.gcs import GcsServer

GB = 10**9


def stats(count: int, size: int, folder: str) -> list[Stat]:
    return [Stat(f"{folder}/part-0001-{n:06}.parquet", size, 0.0, "1") for n in range(count)]


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (stats(25_000, 1_000, "gs://b/run"), [10_000, 10_000, 5_000]),
        (stats(10, 50 * GB, "gs://b/run"), [4, 4, 2]),
        (stats(10, GB // 4, "/run"), [4, 4, 2]),
        (stats(3, 2 * GB, "/run"), [1, 1, 1]),
        ([], []),
    ],
)
def test_jobs_are_bounded_by_files_and_bytes(parts: list[Stat], sizes: list[int]) -> None:
    groups = groups_of(parts)
    assert [len(group) for group in groups] == sizes
    assert [part for group in groups for part in group] == parts
    assert groups_of(parts) == groups


def test_a_day_of_loads_is_never_used_up() -> None:
    assert len(groups_of(stats(40_000, GB // 10, "/run"))) <= 510


def test_files_on_cloud_storage_are_read_in_place(tmp_path: Path) -> None:
    found = source_of(stats(2, 1, "gs://b/run"), tmp_path)
    assert found == ("gs://b/run/part-0001-000000.parquet", "gs://b/run/part-0001-000001.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.gcs
def test_parts_that_are_staged_already_stay(tmp_path: Path, gcs_server: GcsServer) -> None:
    from reembed.storage.gcs import GcsStorage

    for name in ("part-a.parquet", "part-b.parquet"):
        (tmp_path / name).write_bytes(name.encode())
    place, storage = "gs://tests/staging/r1-g0", GcsStorage(gcs_server.url)
    parts = list(LocalStorage().list(f"{tmp_path}/part-"))
    first = stage_parts(storage, parts, place)
    again = stage_parts(storage, parts, place)
    assert [stat.uri for stat in first] == [f"{place}/part-a.parquet", f"{place}/part-b.parquet"]
    assert [stat.generation for stat in again] == [stat.generation for stat in first]
    # The run's record stays where it is.
    assert len(list(tmp_path.iterdir())) == 2


def test_keys_are_written_as_they_come(tmp_path: Path) -> None:
    keys = [f"k{n}" for n in range(250_000)]
    assert write_keys(tmp_path / "keys.parquet", iter(keys)) == len(keys)
    assert pq.read_table(tmp_path / "keys.parquet").column("key").to_pylist() == keys
    assert write_keys(tmp_path / "none.parquet", ()) == 0
