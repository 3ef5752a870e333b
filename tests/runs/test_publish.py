"""A settled run is published, put on record, and leaves no rejects of older runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import pytest

from reembed.destinations.base import Destination, Published, SettledRun
from reembed.errors import RunFailedError
from reembed.ledger.layout import Layout
from reembed.runs.publish import publish_run
from support.memory import MemoryStorage
from support.runs import Made


class Shelf:
    """A destination that keeps what it was given."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.got = fails, list[tuple[SettledRun, list[str]]]()

    def publish(self, settled: SettledRun, removed: Iterable[str]) -> Published:
        if self.fails:
            raise RunFailedError("no room")
        self.got.append((settled, list(removed)))
        return Published(inserted=settled.rows, details={"table": "t"})


@pytest.fixture
def made() -> Made:
    made = Made(MemoryStorage(), Layout("/memory/run"), 1, 1)
    made.plan()
    return made


def publish(made: Made, shelf: Shelf) -> dict[str, object]:
    newest = made.run_dir.newest_commit()
    assert newest is not None
    settled = SettledRun(1, newest.commit.run, 0, 5)
    return publish_run(cast(Destination, shelf), made.run_dir, newest.commit, settled)


def test_what_came_of_it_goes_to_the_report_and_on_record(made: Made) -> None:
    shelf = Shelf()
    report = publish(made, shelf)
    assert (report["inserted"], report["details"]) == (5, {"table": "t"})
    newest = made.run_dir.newest_commit()
    assert newest is not None
    assert made.run_dir.is_published(newest)
    assert [removed for _, removed in shelf.got] == [[]]


def test_rejects_of_older_runs_go(made: Made) -> None:
    for commit in (1, 7):
        made.storage.put(f"/memory/run/rejects/part-{commit:04}-x.parquet", b"")
    publish(made, Shelf())
    assert [stat.uri for stat in made.run_dir.reject_parts()] == [
        "/memory/run/rejects/part-0001-x.parquet"
    ]


def test_what_was_not_taken_is_not_on_record(made: Made) -> None:
    with pytest.raises(RunFailedError, match="no room"):
        publish(made, Shelf(fails=True))
    newest = made.run_dir.newest_commit()
    assert newest is not None
    assert not made.run_dir.is_published(newest)
