"""Run again, and only what is new or changed is paid; what is gone goes when it is asked to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2e.harness import Done, Project, Remote, emulator, invoke, requests_of
from reembed.core.names import PARTITION_ITEMS
from reembed.destinations.parquet import ParquetParts

COUNT = 12


@pytest.fixture(scope="module")
def remote() -> Any:
    with emulator() as remote:
        yield remote


def table_of(rows: dict[str, str]) -> pa.Table:
    return pa.table({"id": list(rows), "body": list(rows.values())})


class Migration:
    """A table of ids and texts that changes from night to night."""

    def __init__(self, folder: Path, remote: Remote, **source: Any) -> None:
        self.remote, self.folder = remote, folder
        parquet = {"files": ["table.parquet"], "key": "id", "text": "body"}
        settings = {"source": {"files": [], "parquet": parquet, **source}}
        self.project = Project(folder, remote.url, settings)
        self.rows: dict[str, str] = {}
        folder.mkdir(exist_ok=True)

    def run(self, *arguments: object) -> Done:
        pq.write_table(table_of(self.rows), self.folder / "table.parquet")
        done = invoke("run", self.project.config, "--json", *arguments)
        assert done.code == 0, done.err
        return done

    def paid(self, *arguments: object) -> int:
        """Run, and return how many requests were paid, canaries left out."""
        before = {job["name"] for job in self.remote.jobs()}
        self.run(*arguments)
        jobs = [job for job in self.remote.jobs() if job["name"] not in before]
        report = self.project.results().report
        assert report["planned"] == report["rows"] + report["rejects"] + report["skipped"]
        return sum(requests_of(job["total"]) for job in jobs)

    def texts(self) -> dict[str, str]:
        """What the destination holds, by key; each key once."""
        rows = self.project.results().rows()
        assert max(Counter(row["key"] for row in rows).values()) == 1
        return {row["key"]: row["text"] for row in rows}


def words(number: int) -> str:
    return f"Text number {number} about {['rivers', 'bread', 'orbits'][number % 3]}."


@pytest.fixture
def migration(tmp_path: Path, remote: Remote) -> Migration:
    made = Migration(tmp_path / "m", remote)
    made.rows = {f"k{n:02}": words(n) for n in range(COUNT)}
    return made


def test_nights_of_a_table(migration: Migration) -> None:
    rows = migration.rows
    assert migration.paid() == COUNT
    assert migration.texts() == rows
    # Nothing to do: no job, and it says so.
    assert migration.paid() == 0
    done = migration.run()
    assert done.json()["already"]
    # New, changed and moved rows; two texts swap their keys, so nobody needs to be asked.
    rows["new"] = "A new text."
    rows["k03"] = "A changed text."
    rows["k04"], rows["k05"] = rows["k05"], rows["k04"]
    assert migration.paid() == 2
    assert migration.texts() == rows
    report = migration.project.results().report
    assert (report["rows"], report["skipped"]) == (4, COUNT - 3)
    assert report["published"]["replaced"] == 3
    # A key that is gone stays, unless it is asked to go.
    del rows["k07"]
    assert migration.paid() == 0
    assert "k07" in migration.texts()


def test_what_is_gone_goes_when_asked_to(tmp_path: Path, remote: Remote) -> None:
    migration = Migration(tmp_path / "m", remote, on_missing="delete")
    migration.rows = {f"k{n:02}": words(n) for n in range(COUNT)}
    migration.run()
    del migration.rows["k07"], migration.rows["k00"]
    assert migration.paid() == 0
    assert migration.texts() == migration.rows
    assert migration.project.results().report["published"]["deleted"] == 2
    # A sample knows nothing of the rest.
    migration.rows["new"] = "A new text."
    migration.run("--sample", 3)
    assert len(migration.texts()) >= COUNT - 2
    migration.rows.clear()
    pq.write_table(
        pa.table({"id": pa.array([], pa.string()), "body": pa.array([], pa.string())}),
        tmp_path / "m" / "table.parquet",
    )
    refused = invoke("run", migration.project.config)
    assert refused.code == 2
    assert "would empty the destination" in refused.err


def test_rows_that_somebody_deleted_come_back(migration: Migration) -> None:
    migration.run()
    [part] = migration.project.results().parts
    table = pq.read_table(part)
    keep = [row % 5 != 0 for row in range(table.num_rows)]
    pq.write_table(table.filter(pa.array(keep)), part)
    assert migration.paid() == keep.count(False)
    assert migration.texts() == migration.rows


def test_a_sample_is_not_paid_again_by_the_full_run(migration: Migration) -> None:
    assert migration.paid("--sample", 5) == 5
    assert migration.paid() == COUNT - 5
    assert migration.texts() == migration.rows


def test_equal_texts_are_paid_once_and_stand_under_every_key(migration: Migration) -> None:
    migration.rows = {f"k{n:02}": words(n % 3) for n in range(COUNT)}
    assert migration.paid() == 3
    rows = migration.project.results().rows()
    assert [row["key"] for row in rows] == sorted(migration.rows)
    for one in rows:
        twin = next(row for row in rows if row["text"] == one["text"])
        assert one["embedding"] == twin["embedding"]
    # What the destination holds under another key is not paid for either.
    migration.rows["more"] = words(1)
    migration.rows["fresh"] = "Never seen."
    assert migration.paid() == 1
    found = {row["key"]: row for row in migration.project.results().rows()}
    assert found["more"]["embedding"] == found["k01"]["embedding"]
    assert found["more"]["job"] == found["k01"]["job"]
    assert (found["more"]["source_index"], found["k01"]["source_index"]) == (COUNT, 1)


def test_another_model_counts_for_nothing_and_takes_over(migration: Migration) -> None:
    migration.run()
    assert migration.paid("--set", "model.dimensions=256") == COUNT
    table = migration.project.results().table()
    assert table.column("dimensions").unique().to_pylist() == [256]
    assert table.num_rows == COUNT


def test_keys_that_came_twice_are_refused_before_anything_is_paid(migration: Migration) -> None:
    pq.write_table(
        pa.table({"id": ["a", "b", "a"], "body": ["x", "y", "z"]}),
        migration.folder / "table.parquet",
    )
    before = len(migration.remote.jobs())
    done = invoke("run", migration.project.config)
    assert done.code == 2
    assert "1 keys came more than once" in done.err
    assert "'a' (2 times, at 0, 2)" in done.err
    assert len(migration.remote.jobs()) == before


def test_a_crash_between_settled_and_handed_over(
    migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    migration.run()
    migration.rows["k03"] = "A changed text."
    pq.write_table(table_of(migration.rows), migration.folder / "table.parquet")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ParquetParts, "publish", die)
        assert invoke("run", migration.project.config).code == 130
    assert len(migration.project.results().rows()) == COUNT + 1
    assert migration.paid() == 0
    assert migration.texts() == migration.rows
    assert migration.paid() == 0


def test_bad_rows_are_said_once_and_not_again(migration: Migration) -> None:
    pq.write_table(
        pa.table({"id": ["a", None, "c"], "body": ["x", "y", None]}),
        migration.folder / "table.parquet",
    )
    assert invoke("run", migration.project.config).code == 0
    assert sorted(migration.project.results().reasons().values()) == ["no_content", "no_key"]
    again = invoke("run", migration.project.config, "--json")
    assert again.code == 0
    assert again.json()["already"]
    assert len(list((migration.project.run_dir / "ledger").glob("commit.*"))) == 1
    # One more is news, though nothing is sent.
    pq.write_table(
        pa.table({"id": ["a", None, "c", "d"], "body": ["x", "y", None, None]}),
        migration.folder / "table.parquet",
    )
    assert "already" not in invoke("run", migration.project.config, "--json").json()
    assert sorted(migration.project.results().reasons().values()) == [
        *["no_content"] * 2,
        "no_key",
    ]
    assert len(list((migration.project.run_dir / "ledger").glob("commit.*"))) == 2


def test_more_rows_than_a_partition(tmp_path: Path, remote: Remote) -> None:
    count = PARTITION_ITEMS + 500
    migration = Migration(tmp_path / "m", remote)
    migration.rows = {f"k{n}": f"t {n % 400}" for n in range(count)}
    migration.run()
    rows = migration.project.results().rows()
    assert [row["key"] for row in rows] == list(migration.rows)


def test_a_report_that_somebody_deleted_is_said_in_a_line(migration: Migration) -> None:
    migration.run()
    (migration.project.run_dir / "report.json").unlink()
    for command in ("run", "advance"):
        done = invoke(command, migration.project.config)
        assert done.code == 1
        assert "report.json is missing or damaged" in done.err
        assert "Traceback" not in done.err
