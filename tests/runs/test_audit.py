"""What an audit reads: the shards that the service lists a job of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from reembed.core.records import Commit
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir
from reembed.providers.base import BatchService, Job
from reembed.runs.audit import audit_jobs
from support.counting import CountingStorage
from support.memory import MemoryStorage
from support.runs import Made


@pytest.fixture
def made() -> Made:
    """Twenty partitions of three shards: a plan and its commit."""
    made = Made(MemoryStorage(), Layout("/memory/run"), 20, 3)
    made.plan()
    return made


def test_an_audit_reads_the_shards_that_the_service_lists_a_job_of(made: Made) -> None:
    made.settle(list(made.all_shards()))
    name = made.layout.commit(1)
    commit = Commit.decode(made.storage.read(name), name)
    listed = [f"{commit.run}/{shard}/0/ffffffff" for shard in (*made.shards(7), "nonsense")]
    service = Listed([*listed, f"{commit.run}/99999999-000000/0/ffffffff"])
    storage = CountingStorage(made.storage)
    audit = audit_jobs(RunDir(storage, made.layout), commit, cast(BatchService, service))
    # A job each of a name that the plan does not have, and none of those of the ledger.
    assert [(twin.shard, twin.kept) for twin in audit.duplicate_jobs] == [
        *((shard, f"batches/{shard}") for shard in made.shards(7)),
        ("99999999-000000", ""),
        ("nonsense", ""),
    ]
    # One partition's plan; the created, outcome and settled records of its three shards.
    assert storage.counts["read"] == 1 + 3 * 3
    # The partitions' names, the roll-ups, the one partition.
    assert storage.counts["list"] == 3


class Listed:
    """A service that lists jobs of these names."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def list_jobs(self) -> Iterator[Job]:
        return (Job(f"batches/of-{n}", name, "SUCCEEDED", "") for n, name in enumerate(self.names))
