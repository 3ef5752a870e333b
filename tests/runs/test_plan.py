"""The plan pipeline: what it writes, that it is the same again, and that engines must be whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reembed.config.load import ResolvedConfig
from reembed.core.plans import PartitionPlan, digest_of
from reembed.errors import RunFailedError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir
from reembed.runs.plan import make_plan, read_packed_plan
from reembed.sources.files import open_files
from reembed.storage.local import LocalStorage
from support.counting import CountingStorage
from support.memory import MemoryStorage
from support.planted import PLAN, Planted

Load = Callable[..., ResolvedConfig]


def files_under(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    paths = (path for path in root.rglob("*") if path.is_file() and "progress" not in path.parts)
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_a_plan_stands_whole_under_its_name(load: Load) -> None:
    loaded = load(batch={"max_requests": 4})
    plan = make_plan(loaded)
    totals = plan.plan_totals()
    assert (plan.items, totals.items, totals.chunks, totals.requests) == (10, 10, 10, 10)
    assert totals.shards == totals.jobs >= 3
    written = files_under(Layout(loaded.config.run_dir).plan_dir(plan.plan))
    assert {"plan.json", "listing/00000000.parquet", "partitions/00000000.json"} <= set(written)
    assert sum(name.startswith("shards/") for name in written) == totals.shards


def test_the_same_input_gives_the_same_plan_in_every_folder(load: Load) -> None:
    loaded = load()
    first = make_plan(loaded)
    other = load(run_dir="./other")
    second = make_plan(other)
    assert (first.plan, first.digest) == (second.plan, second.digest)
    assert files_under(loaded.config.run_dir) == files_under(other.config.run_dir)


def test_a_plan_that_stands_is_taken_and_not_made_again(load: Load) -> None:
    loaded = load()
    first = make_plan(loaded)
    name = Layout(loaded.config.run_dir).plan_summary(first.plan)
    before = os.stat(name).st_mtime_ns
    assert make_plan(loaded) == first
    assert os.stat(name).st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"dimensions": 256}},
        {"chunking": {"text": {"title": False}}},
        {"batch": {"max_requests": 3}},
        {"service": {"base_url": "http://127.0.0.1:9"}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_is_frozen_makes_another_plan(load: Load, change: dict[str, object]) -> None:
    one = make_plan(load()).plan
    two = make_plan(load(**change)).plan
    assert one != two


def test_a_changed_file_makes_another_plan(load: Load) -> None:
    loaded = load()
    before = make_plan(loaded).plan
    (loaded.base / "corpus" / "3.txt").write_text("Now it says this.")
    assert make_plan(loaded).plan != before


def test_a_damaged_summary_is_refused(load: Load) -> None:
    loaded = load()
    plan = make_plan(loaded)
    Path(Layout(loaded.config.run_dir).plan_summary(plan.plan)).write_text('{"schema": 99}')
    with pytest.raises(RunFailedError, match="another version"):
        make_plan(loaded)


def test_the_listing_leaves_out_the_run_directory_and_samples(load: Load) -> None:
    loaded = load(run_dir="./corpus/run")
    make_plan(loaded)
    assert len(open_files(loaded, LocalStorage()).items) == 10
    sampled = load(source={"files": ["corpus/**"], "sample": 4})
    keys = [item.key for item in open_files(sampled, LocalStorage()).items]
    assert len(keys) == 4
    assert keys == sorted(keys)


def test_an_engine_that_is_none_is_refused(load: Load) -> None:
    with pytest.raises(UsageError, match="NoSuchRunner"):
        make_plan(load(), ["--runner=NoSuchRunner"])


def test_a_place_that_cannot_be_written_fails_the_plan_and_leaves_none(load: Load) -> None:
    loaded = load()
    run_dir = Path(loaded.config.run_dir)
    run_dir.mkdir()
    (run_dir / "plans").write_text("a file where a folder must be")
    with pytest.raises(Exception, match="plans"):
        make_plan(loaded)
    (run_dir / "plans").unlink()
    assert make_plan(loaded).items == 10


def test_partitions_are_read_side_by_side_and_come_to_the_same_as_one_by_one():
    planted = Planted(MemoryStorage(), shards=100, per_partition=3, rows=7)
    planted.plant_partitions()
    storage = CountingStorage(planted.storage, gather=9)
    packed = read_packed_plan(RunDir(storage, planted.layout), PLAN)
    names = [stat.uri for stat in planted.storage.list(planted.layout.partitions(PLAN))]
    one_by_one = [PartitionPlan.decode(planted.storage.read(name), name) for name in names]
    assert packed.digest == digest_of(one_by_one)
    assert packed.partitions == tuple(range(34))
    assert (packed.totals.shards, packed.totals.chunks) == (100, 700)
    assert packed.copying == ()
    assert storage.counts == {"list": 1, "read": 34}
    assert storage.max_concurrent > 8


def test_shards_with_copies_are_named():
    planted = Planted(MemoryStorage(), shards=6, per_partition=3, rows=7)
    planted.plant_partitions()
    name = planted.layout.partition(PLAN, 1)
    partition = PartitionPlan.decode(planted.storage.read(name), name)
    copying = partition.shards[1].model_copy(update={"copies": 2})
    changed = (partition.shards[0], copying, partition.shards[2])
    planted.storage.put(name, partition.model_copy(update={"shards": changed}).encode())
    assert read_packed_plan(planted.run_dir, PLAN).copying == (copying,)
