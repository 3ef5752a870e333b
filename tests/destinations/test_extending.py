"""A destination of another package is configured, asked what it has, and published to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from e2e.harness import Project, Remote, emulator, reembed, requests_of
from reembed import registry
from reembed.config.frozen import frozen_view
from reembed.config.load import config_from_mapping
from reembed.config.schema import Config
from reembed.destinations.open import DESTINATIONS, open_destination
from reembed.errors import ConfigError
from reembed.ledger.run_dir import open_run_dir

TOY = "destinations.toy_destination"
TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    registry._added.clear()
    sys.modules.pop(TOY, None)


def load(folder: Path, **destination: Any) -> Config:
    source = {"files": ["corpus/**"]}
    data = {"name": "toy", "extensions": [TOY], "source": source, "destination": destination}
    return config_from_mapping(data, folder).config


def test_parquet_is_the_default_and_bigquery_is_named() -> None:
    assert list(DESTINATIONS) == ["parquet", "bigquery"]
    for name in DESTINATIONS:
        assert DESTINATIONS.get(name).section is None


def test_a_toy_destination_is_opened(tmp_path: Path) -> None:
    config = load(tmp_path, one_file={"path": str(tmp_path / "all.parquet")})
    assert config.destination.kind == "one_file"
    assert list(open_destination(config, open_run_dir(config.run_dir)).existing()) == []
    frozen = frozen_view(config)["destination"]
    assert frozen["one_file"] == {"path": str(tmp_path / "all.parquet")}


@pytest.mark.parametrize(
    ("destination", "key", "remedy"),
    [
        ({"one_file": {}}, "destination.one_file.path", "this key is required"),
        ({"one_file": {"path": 3}}, "destination.one_file.path", "give text"),
        ({"one_fiel": {"path": "/a"}}, "destination.one_fiel", "did you mean one_file?"),
        (
            {"one_file": {"path": "/a"}, "bigquery": {"table": "project.data.table"}},
            "destination.one_file",
            "give one of them",
        ),
    ],
)
def test_mistakes_in_its_section_are_explained(
    tmp_path: Path, destination: dict[str, Any], key: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, **destination)
    assert caught.value.key == key
    assert remedy in str(caught.value)


def paid(project: Project, remote: Remote) -> int:
    """Run, and count the requests that were paid, without canaries."""
    before = {job["name"] for job in remote.jobs()}
    done = reembed("run", project.config, "--json", PYTHONPATH=f"{TESTS.parent}/src:{TESTS}")
    assert done.code == 0, done.err
    jobs = [job for job in remote.jobs() if job["name"] not in before]
    return sum(requests_of(job["total"]) for job in jobs)


def test_runs_are_published_to_a_toy_destination(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    settings = {"extensions": [TOY], "destination": {"one_file": {"path": str(path)}}}
    with emulator() as remote:
        project = Project(tmp_path, remote.url, settings)
        project.write({"a.txt": "Apples.", "b.txt": "Bread.", "c.txt": "Clouds."})
        assert paid(project, remote) == 3
        # The destination says what is there: a changed text is new, and a lost row comes back.
        project.write({"b.txt": "Butter."})
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
        assert paid(project, remote) == 2
        assert project.results().report["published"]["replaced"] == 1
        assert paid(project, remote) == 0
    rows = pq.read_table(path).to_pylist()
    texts = {row["key"]: row["text"] for row in rows}
    assert texts == {
        "corpus/a.txt": "Apples.",
        "corpus/b.txt": "Butter.",
        "corpus/c.txt": "Clouds.",
    }
    assert len(rows) == 3
