"""A BigQuery table takes runs over: what it ends as, whatever fails or is killed on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reembed.bigquery.base import NewTable
from reembed.bigquery.destination import BigQueryTable
from reembed.bigquery.names import TableName
from reembed.bigquery.schema import row_fields
from reembed.config.load import config_from_mapping
from reembed.core.schema import ROW
from reembed.destinations.base import EXISTING, Published, SettledRun
from reembed.destinations.parts import part_metadata, write_part
from reembed.errors import RunFailedError, UsageError
from reembed.ledger.run_dir import open_run_dir
from support.duck_bigquery import DuckBigQuery, Dying, Killed

DEST = TableName("test-project", "data", "vectors")
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
MODEL = {"model": "gemini-embedding-2", "dimensions": 768, "task": "retrieval_document"}


def row(key: str, content: str = "x", part: int = 0, index: int = 0) -> dict[str, Any]:
    texts = {f.name: "t" for f in ROW if pa.types.is_string(f.type)}
    numbers = {f.name: 1 for f in ROW if pa.types.is_integer(f.type)}
    named = {"key": key, "content_hash": content, "part": part, "source_index": index}
    nulls = {"start": None, "end": None, "warnings": None}
    vector = {"embedding": [float(len(content)), 0.5], "embedded_at": WHEN}
    return {**texts, **numbers, **MODEL, **nulls, **vector, **named}


class Place:
    """A run directory, and BigQuery beside it."""

    def __init__(self, folder: Path, **destination: Any) -> None:
        self.folder, self.bigquery = folder, DuckBigQuery()
        self.reports: list[str] = []
        (folder / "run" / "vectors").mkdir(parents=True)
        self.data = {
            "name": "t",
            "source": {"files": ["*"]},
            "run_dir": str(folder / "run"),
            "destination": {"bigquery": {"table": str(DEST), **destination}},
        }

    def table(self, bigquery: Any = None, **model: Any) -> BigQueryTable:
        config = config_from_mapping({**self.data, "model": model}, self.folder).config
        return BigQueryTable(
            config, open_run_dir(config.run_dir), bigquery or self.bigquery, self.reports.append
        )

    def write(self, commit: int, *rows: dict[str, Any], seq: int = 0) -> None:
        name = f"part-{commit:04}-00000000-{seq:06}.parquet"
        path = self.folder / "run" / "vectors" / name
        path.unlink(missing_ok=True)
        table = pa.Table.from_pylist(list(rows), ROW)
        write_part(path, table.to_batches(), part_metadata(f"run{commit}", "m", 2, "t", []))

    def publish(
        self,
        commit: int,
        rows: int,
        removed: tuple[str, ...] = (),
        generation: int = 0,
        bigquery: Any = None,
    ) -> Published:
        settled = SettledRun(commit, f"run{commit}", generation, rows)
        return self.table(bigquery).publish(settled, iter(removed))

    def content(self) -> list[tuple[str, str, int]]:
        rows = self.bigquery.rows(DEST)
        return [(r["key"], r["content_hash"], r["part"]) for r in rows]

    def leftovers(self) -> list[str]:
        return [str(name) for name in self.bigquery.tables
                if "_reembed_" in name.table]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


FIRST = (
    row("changed", "old", 0, 0),
    row("changed", "old", 1, 0),
    row("half", "same", 0, 1),
    row("half", "same", 1, 1),
    row("kept", "k", 0, 2),
    row("lost", "l", 0, 3),
    row("lost", "l", 1, 3),
)
SECOND = (row("changed", "new", 0, 0), row("half", "same", 1, 1), row("fresh", "f", 0, 4))
AFTER = [
    ("changed", "new", 0),
    ("half", "same", 0),
    ("half", "same", 1),
    ("kept", "k", 0),
    ("fresh", "f", 0),
]


def two_nights(place: Place) -> None:
    place.write(1, *FIRST[:3], seq=0)
    place.write(1, *FIRST[3:], seq=1)
    place.table().check()
    place.publish(1, len(FIRST))
    place.table().check()
    place.write(2, *SECOND)


def test_a_new_table_is_a_copy_of_staging(tmp_path: Path) -> None:
    place = Place(tmp_path, partition_by="embedded_at", labels={"team": "search"})
    two_nights(place)
    assert place.content() == [(r["key"], r["content_hash"], r["part"]) for r in FIRST]
    table = place.bigquery.tables[DEST]
    assert (table.clustering, table.partition and table.partition.column) == (
        ("key",),
        "embedded_at",
    )
    assert dict(table.labels) == {
        "team": "search",
        "reembed_model": "gemini-embedding-2",
        "reembed_dimensions": "768",
        "reembed_task": "retrieval_document",
        "reembed_run": "run1",
        "reembed_state": "whole",
    }
    assert "gemini-embedding-2, 768 dimensions, task retrieval_document; run run1" in (
        table.description
    )
    assert place.leftovers() == []
    assert [job.kind for job in place.bigquery.jobs.values()].count("load") == 1
    assert not any("MERGE" in s.sql for s in place.bigquery.statements)
    # Each load says its schema itself; vectors are ARRAY<FLOAT64>.
    [load] = place.bigquery.loads
    assert load.write == "WRITE_APPEND"
    embedding = next(f for f in load.fields if f.name == "embedding")
    assert embedding.sql_type == "ARRAY<FLOAT64>"


def test_an_increment_is_one_merge(place: Place) -> None:
    two_nights(place)
    place.bigquery.estimate = 2**40
    done = place.publish(2, len(SECOND), ("lost", "never there"))
    assert place.content() == AFTER
    # Replaced: two of "changed", one of "half"; deleted: two of "lost".
    assert (done.inserted, done.replaced, done.deleted) == (3, 3, 2)
    assert done.details["merge"]["estimated_bytes"] == 2**40
    assert done.details["merge"]["estimated_usd"] == 6.25
    assert len(place.reports) == 1
    assert "Merging 3 rows into test-project.data.vectors" in place.reports[0]
    assert "$6.2500 on demand" in place.reports[0]
    assert sum("MERGE" in s.sql for s in place.bigquery.statements) == 1
    assert place.leftovers() == []
    assert place.bigquery.tables[DEST].labels["reembed_run"] == "run2"


def test_parts_that_a_run_did_not_write_stay(place: Place) -> None:
    """Of an item only part 1 was lost and came back: part 0 is not touched."""
    two_nights(place)
    place.publish(2, len(SECOND))
    assert ("half", "same", 0) in place.content()
    assert ("lost", "l", 0) in place.content()


def test_a_key_that_is_gone_and_written_is_as_it_was_written(place: Place) -> None:
    two_nights(place)
    done = place.publish(2, len(SECOND), ("half", "changed", "half"))
    assert [row for row in place.content() if row[0] in ("half", "changed")] == [
        ("changed", "new", 0),
        ("half", "same", 1),
    ]
    assert (done.replaced, done.deleted) == (0, 4)


def test_a_redrive_loads_its_replaced_parts_again(place: Place) -> None:
    two_nights(place)
    place.publish(2, len(SECOND), ("lost",))
    place.write(2, *SECOND, row("redriven", "r", 0, 5))
    done = place.publish(2, len(SECOND) + 1, ("lost",), generation=1)
    assert place.content() == [*AFTER, ("redriven", "r", 0)]
    assert done.inserted == 4


def test_only_keys_that_are_gone(place: Place) -> None:
    two_nights(place)
    done = place.publish(3, 0, ("lost", "kept"))
    assert (done.inserted, done.replaced, done.deleted) == (0, 0, 3)
    assert {key for key, _, _ in place.content()} == {"changed", "half"}
    assert place.publish(4, 0).details["made"] is False


def test_a_run_without_rows_makes_an_empty_table(place: Place) -> None:
    place.publish(1, 0)
    assert place.content() == []
    assert place.bigquery.tables[DEST].labels["reembed_state"] == "whole"


@pytest.mark.parametrize("made", [True, False], ids=["new", "increment"])
def test_killed_after_any_operation_and_resumed(tmp_path: Path, made: bool) -> None:
    """However far the killed call came, the next one ends as one that was never killed."""

    def prepared(folder: Path) -> tuple[Place, Callable[[Any], Published]]:
        place = Place(folder)
        if made:
            place.write(1, *FIRST)
            return place, lambda w: place.publish(1, len(FIRST), (), 0, w)
        two_nights(place)
        return place, lambda w: place.publish(2, len(SECOND), ("lost",), 0, w)

    place, publish = prepared(tmp_path / "whole")
    published, state = publish(None), (place.content(), place.bigquery.tables[DEST].labels)
    for after in range(1, 200):
        place, publish = prepared(tmp_path / f"killed{after}")
        try:
            publish(Dying(place.bigquery, after))
        except Killed:
            done = publish(None)
        else:
            assert after > 10, "hardly any operation was tried"
            break
        assert (place.content(), place.bigquery.tables[DEST].labels) == state, after
        counts = (done.inserted, done.replaced, done.deleted)
        assert counts == (published.inserted, published.replaced, published.deleted), after
        assert done.details.get("merge") == published.details.get("merge"), after
        assert place.leftovers() == [], after
        # The label change of a call that was killed late is repeated; no job is.
        kinds = [job.kind for name, job in place.bigquery.jobs.items() if "merge-" in name]
        assert len(kinds) == (0 if made else 1), after


def test_a_load_that_fails_leaves_the_table_and_is_tried_under_another_id(place: Place) -> None:
    two_nights(place)
    before = place.content()
    place.bigquery.failing.append(("load-00000", "invalid"))
    with pytest.raises(RunFailedError, match="nothing is paid again: run again"):
        place.publish(2, len(SECOND))
    assert place.content() == before
    done = place.publish(2, len(SECOND), ("lost",))
    assert place.content() == AFTER
    ids = [name for name in place.bigquery.jobs if "reembed-run2-g0-load" in name]
    assert [name.rsplit("-", 1)[1] for name in ids] == ["0", "1"]
    assert done.inserted == 3


def test_a_failure_that_passes_by_itself_is_tried_again_at_once(place: Place) -> None:
    two_nights(place)
    place.bigquery.failing.extend([("merge", "backendError"), ("merge", "backendError")])
    place.publish(2, len(SECOND), ("lost",))
    assert place.content() == AFTER
    place.write(3, row("more", "m", 0, 9))
    place.bigquery.failing.extend([("merge", "backendError")] * 3)
    with pytest.raises(RunFailedError, match="run run3 is not in"):
        place.publish(3, 1)
    place.publish(3, 1)
    assert place.content() == [*AFTER, ("more", "m", 0)]


def test_staging_that_went_is_loaded_again(place: Place) -> None:
    """After days away the staging table has expired, while its jobs are still on record."""
    two_nights(place)
    place.bigquery.failing.append(("merge", "invalid"))
    with pytest.raises(RunFailedError):
        place.publish(2, len(SECOND), ("lost",))
    for name in list(place.bigquery.tables):
        if "_reembed_" in name.table:
            place.bigquery.delete_table(name)
    place.publish(2, len(SECOND), ("lost",))
    assert place.content() == AFTER


def test_staging_that_does_not_hold_the_run_is_not_merged(place: Place) -> None:
    two_nights(place)
    with pytest.raises(RunFailedError, match="holds 3 rows and the run has 4"):
        place.publish(2, 4)
    place.write(2, *SECOND, SECOND[0])
    with pytest.raises(RunFailedError, match="parts more than once: 'changed' part 0"):
        place.publish(2, 4, generation=1)
    assert len(place.content()) == len(FIRST)


def test_what_it_holds_is_read_back_as_it_was_written(place: Place) -> None:
    two_nights(place)
    table = place.table()
    existing = pa.Table.from_batches(list(table.existing()), EXISTING)
    assert existing.num_rows == len(FIRST)
    found = pa.Table.from_batches(list(table.rows(["half", "nobody"])), ROW).to_pylist()
    assert sorted(found, key=lambda r: r["part"]) == list(FIRST[2:4])
    assert list(Place(place.folder / "other").table().existing()) == []


def test_its_state_has_a_name(place: Place) -> None:
    before = list(place.table().identity())
    two_nights(place)
    first = list(place.table().identity())
    assert first != before
    assert first == list(place.table().identity())
    place.bigquery.execute(f"DELETE FROM {DEST.sql} WHERE part = 1")
    assert list(place.table().identity()) != first


def test_another_model_is_refused_unless_asked_for(tmp_path: Path) -> None:
    place = Place(tmp_path)
    two_nights(place)
    place.table().check()
    other = place.table(dimensions=256)
    with pytest.raises(UsageError, match="spaces are incompatible") as refused:
        other.check()
    assert "gemini-embedding-2 (768 dimensions, retrieval_document)" in str(refused.value)
    place.data["destination"]["bigquery"]["allow_other_model"] = True
    place.table(dimensions=256).check()
    settled = SettledRun(2, "run2", 0, len(SECOND))
    place.table(dimensions=256).publish(settled, iter(()))
    assert place.bigquery.tables[DEST].labels["reembed_model"] == "mixed"
    # A table of several models is looked at row by row from then on.
    del place.data["destination"]["bigquery"]["allow_other_model"]
    with pytest.raises(UsageError, match="spaces are incompatible"):
        place.table(dimensions=256).check()


def changed(**columns: Any) -> NewTable:
    fields = {field.name: field for field in row_fields()}
    for name, to in columns.items():
        if to is None:
            del fields[name]
        else:
            kind, mode = to
            old = fields.get(name, fields["title"])
            fields[name] = type(old)(name, kind, mode)
    return NewTable(tuple(fields.values()))


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (changed(content_hash=None), r"has no column content_hash \(STRING\); add it with"),
        (changed(embedding=("FLOAT64", "NULLABLE")), "embedding is FLOAT64, and rows have ARRAY<F"),
        (changed(part=("STRING", "NULLABLE")), "column part is STRING, and rows have INT64"),
        (changed(title=("STRING", "REQUIRED")), "title is REQUIRED, and rows may have none"),
        (changed(owner=("STRING", "REQUIRED")), "owner is REQUIRED, and rows do not have it"),
    ],
)
def test_other_columns_are_refused_by_name(place: Place, new: NewTable, words: str) -> None:
    place.bigquery.create_table(DEST, new)
    with pytest.raises(UsageError, match=words):
        place.table().check()


def test_more_columns_and_looser_ones_are_taken(place: Place) -> None:
    new = changed(key=("STRING", "NULLABLE"), owner=("STRING", "NULLABLE"))
    place.bigquery.create_table(DEST, new)
    place.table().check()
    place.write(1, *FIRST)
    done = place.publish(1, len(FIRST))
    assert done.details["made"] is False
    assert len(place.content()) == len(FIRST)
    assert place.bigquery.rows(DEST)[0]["owner"] is None


def test_what_is_missing_is_said_before_anything_is_paid(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.bigquery.datasets.clear()
    with pytest.raises(UsageError, match="bq mk --dataset test-project:data"):
        place.table().check()
    for destination, words in (
        ({"location": "EU"}, "destination.bigquery.location: EU: the dataset .* is in US"),
        ({"cluster_by": ["embedding"]}, "'embedding' cannot cluster rows"),
        ({"labels": {"Team": "x"}}, "'x' cannot be a label"),
        ({"labels": {"reembed_run": "x"}}, "is set by reembed"),
    ):
        with pytest.raises(UsageError, match=words):
            Place(tmp_path / str(len(words)), **destination).table().check()


def test_a_table_that_somebody_made_meanwhile_is_refused(place: Place) -> None:
    place.table().check()
    place.write(1, *FIRST)
    place.bigquery.create_table(DEST, changed())
    with pytest.raises(RunFailedError, match="made by somebody else since the run was planned"):
        place.publish(1, len(FIRST))
    assert place.content() == []
    # To look at it again is to accept it.
    place.table().check()
    place.publish(1, len(FIRST))
    assert len(place.content()) == len(FIRST)


def test_a_table_that_changed_meanwhile_is_refused(place: Place) -> None:
    two_nights(place)
    place.bigquery.delete_table(DEST)
    place.bigquery.create_table(DEST, changed(task=None))
    with pytest.raises(RunFailedError, match=r"since the run was planned: .* has no column task"):
        place.publish(2, len(SECOND))
    # Removed, a new one is made, and the next run brings what it lacks.
    place.bigquery.delete_table(DEST)
    place.publish(2, len(SECOND))
    assert len(place.content()) == len(SECOND)


@pytest.mark.parametrize("wanted", ["none", "print", "create"])
def test_a_vector_index_is_printed_or_tried(tmp_path: Path, wanted: str) -> None:
    place = Place(tmp_path, vector_index=wanted)
    place.write(1, *FIRST)
    index = place.publish(1, len(FIRST)).details.get("index")
    if wanted == "none":
        assert index is None
        return
    assert index is not None
    assert "CREATE VECTOR INDEX IF NOT EXISTS `vectors_embedding`" in index["statement"]
    # Too few rows is no failure.
    assert index["created"] is False
    assert ("smaller than min" in index["note"]) == (wanted == "create")
