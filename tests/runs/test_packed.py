"""The end of planning: partitions are summed up, read many at a time."""

from reembed.core.plans import PartitionPlan, digest_of
from reembed.ledger.run_dir import RunDir
from reembed.runs.plan import read_packed
from support.counting import CountingStorage
from support.memory import MemoryStorage
from support.planted import PLAN, Planted


def test_partitions_are_read_side_by_side_and_come_to_the_same_as_one_by_one():
    planted = Planted(MemoryStorage(), shards=100, per_partition=3, rows=7)
    planted.plant_partitions()
    storage = CountingStorage(planted.storage, gather=9)
    packed = read_packed(RunDir(storage, planted.layout), PLAN)
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
    assert read_packed(planted.run_dir, PLAN).copying == (copying,)
