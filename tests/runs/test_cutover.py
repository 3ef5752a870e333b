"""A view is pointed at the new table and back, and never over what somebody else said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reembed.bigquery.base import NewTable
from reembed.bigquery.names import TableName
from reembed.bigquery.schema import row_fields
from reembed.config.frozen import frozen_view
from reembed.config.load import config_from_mapping
from reembed.core.plans import PlanSummary
from reembed.core.records import Commit, RunPublished, RunSettled
from reembed.errors import RunFailedError, UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.cutover import ViewChange, cut_over, roll_back
from reembed.storage.local import LocalStorage
from support.duck_bigquery import DuckBigQuery, Dying, Killed

TABLE = TableName("test", "data", "vectors")
VIEW = TableName("test", "data", "current")
NEW = "SELECT * FROM `test`.`data`.`vectors`"
OLD = "SELECT * FROM `test`.`data`.`old`"


class Place:
    """A run directory whose run is over, with nothing in it, and BigQuery with its table."""

    def __init__(self, folder: Path, **destination: Any) -> None:
        self.bigquery, self.storage = DuckBigQuery(), LocalStorage()
        self.bigquery.create_table(TABLE, NewTable(row_fields()))
        data = {
            "name": "t",
            "source": {"files": ["*"]},
            "run_dir": str(folder / "run"),
            "destination": {"bigquery": {"table": str(TABLE), "view": str(VIEW), **destination}},
        }
        self.config = config_from_mapping(data, folder).config
        self.run_dir = open_run_dir(self.config.run_dir)
        self.layout = self.run_dir.layout
        self.commit()
        settled = RunSettled(shards=0, rows=0, rejects=0, jobs=0)
        self.storage.create(self.layout.run_settled(1, 0), settled.encode())
        self.storage.create(self.layout.run_published(1, 0), RunPublished().encode())

    def commit(self, planned: int = 0) -> None:
        frozen = frozen_view(self.config)
        commit = Commit(
            number=1, run="r1", plan="p1", digest="d", planned=planned, items=0, frozen=frozen,
            key_salt="", key_hash="",
        )  # fmt: skip
        self.storage.put(self.layout.commit(1), commit.encode())
        plan = PlanSummary(
            plan="p1", name="t", frozen=frozen, items=0, totals={}, partitions=(), digest="d"
        )
        self.storage.put(self.layout.plan_summary("p1"), plan.encode())

    def cut_over(self, bigquery: Any = None) -> ViewChange:
        return cut_over(self.config, self.run_dir, bigquery or self.bigquery)

    def roll_back(self, bigquery: Any = None) -> ViewChange:
        return roll_back(self.config, self.run_dir, bigquery or self.bigquery)

    def says(self) -> str:
        found = self.bigquery.table(VIEW)
        return found.view_sql if found is not None else ""

    def somebody_says(self, sql: str) -> None:
        found = self.bigquery.table(VIEW)
        self.bigquery.set_view(VIEW, sql, found.etag if found is not None else None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_view_is_swapped_and_put_back(place: Place) -> None:
    place.somebody_says(OLD)
    change = place.cut_over()
    assert (change.before, change.after, place.says()) == (OLD, NEW, NEW)
    assert change.statement == f"CREATE OR REPLACE VIEW `test`.`data`.`current` AS\n{NEW}"
    again = place.cut_over()
    assert (again.already, again.before) == (True, OLD)
    assert place.roll_back().after == OLD
    assert place.says() == OLD
    assert place.roll_back().already
    # And once more there and back.
    place.cut_over()
    assert place.says() == NEW
    place.roll_back()
    assert place.says() == OLD


def test_the_first_cut_over_makes_the_view_and_its_rollback_removes_it(place: Place) -> None:
    assert place.cut_over().before == ""
    assert place.says() == NEW
    assert place.roll_back().statement == "DROP VIEW `test`.`data`.`current`"
    assert place.bigquery.table(VIEW) is None


def test_what_somebody_else_said_is_left_alone(place: Place) -> None:
    place.somebody_says(OLD)
    place.cut_over()
    place.somebody_says("SELECT 1 AS mine")
    for change in (place.cut_over, place.roll_back):
        with pytest.raises(RunFailedError, match="it says now: SELECT 1 AS mine"):
            change()
    assert place.says() == "SELECT 1 AS mine"


def test_who_changes_it_at_the_same_moment_wins(place: Place) -> None:
    place.somebody_says(OLD)

    class Meanwhile:
        def __getattr__(self, name: str) -> Any:
            if name == "set_view":
                place.somebody_says("SELECT 2 AS theirs")
            return getattr(place.bigquery, name)

    with pytest.raises(RunFailedError, match=r"at this moment .* it says now: SELECT 2 AS theirs"):
        place.cut_over(Meanwhile())
    assert place.says() == "SELECT 2 AS theirs"


@pytest.mark.parametrize("back", [False, True])
def test_killed_on_the_way_and_done_again(tmp_path: Path, back: bool) -> None:
    for after in range(1, 9):
        place = Place(tmp_path / f"{after}")
        place.somebody_says(OLD)
        if back:
            place.cut_over()
        change = place.roll_back if back else place.cut_over
        try:
            change(Dying(place.bigquery, after))
        except Killed:
            change()
        else:
            assert after > 1
            break
        assert place.says() == (OLD if back else NEW)
        place.roll_back()
        assert place.says() == OLD


def test_a_run_that_is_not_over_is_refused(place: Place) -> None:
    Path(place.layout.run_published(1, 0)).unlink()
    with pytest.raises(UsageError, match=r"run r1 is not in test\.data\.vectors yet"):
        place.cut_over()
    Path(place.layout.run_settled(1, 0)).unlink()
    with pytest.raises(UsageError, match="run r1 is not settled"):
        place.cut_over()
    Path(place.layout.commit(1)).unlink()
    with pytest.raises(UsageError, match="nothing was committed"):
        place.cut_over()
    with pytest.raises(UsageError, match="was never cut over"):
        place.roll_back()
    assert place.bigquery.table(VIEW) is None


def test_counts_that_do_not_close_are_refused(place: Place) -> None:
    place.commit(planned=5)
    with pytest.raises(RunFailedError, match="planned 5 is not rows 0"):
        place.cut_over()


def test_what_is_no_view_is_refused(tmp_path: Path) -> None:
    place = Place(tmp_path / "a")
    place.bigquery.create_table(VIEW, NewTable(row_fields()))
    with pytest.raises(UsageError, match=r"test\.data\.current is a TABLE; name a view"):
        place.cut_over()
    unnamed = Place(tmp_path / "b", view=None)
    with pytest.raises(UsageError, match=r"destination\.bigquery\.view is not given"):
        unnamed.cut_over()
