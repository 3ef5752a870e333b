"""`reembed trace` tells the way of one key: source, chunk, shard, attempts, row or reject."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness import Project, emulator, invoke, one_line, texts


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with emulator() as remote:
        made = Project(tmp_path_factory.mktemp("trace"), remote.url).write(texts(5))
        made.write({"empty.txt": "", "twin.txt": texts(1)["note 000.txt"]})
        # One row fails with a code that may pass, in the first job only.
        remote.faults({"job": 1, "do": "fail_rows", "rows": [1], "code": 13})
        assert invoke("run", made.config, "--json").code == 0
        made.write({"note 002.txt": "It says something else now."})
        assert invoke("run", made.config, "--json").code == 0
        yield made


def traced(project: Project, key: str) -> list[dict]:
    done = invoke("trace", project.config, key, "--json")
    assert done.code == 0, done.err
    ways: list[dict] = done.json()["histories"]
    return ways


def test_a_row_with_a_retry(project: Project) -> None:
    [way] = traced(project, "corpus/note 001.txt")
    assert way["chunk"]["source_uri"].endswith("/corpus/note 001.txt")
    assert way["chunk"]["generation"]
    steps = way["steps"]
    assert [step["attempt"] for step in steps] == ["0", "0.0"]
    assert steps[0]["goes_on"] == "0.0"
    assert steps[0]["job"] != steps[1]["job"] == way["row"]["job"]
    assert Path(way["file"]).is_file()
    said = invoke("trace", project.config, "corpus/note 001.txt").out
    for word in ("source", "chunk", "shard", "attempt", "row", "file", "sent again as 0.0"):
        assert word in said


def test_a_changed_input_has_a_way_in_both_runs(project: Project) -> None:
    new, old = traced(project, "corpus/note 002.txt")
    assert (new["commit"], old["commit"]) == (2, 1)
    assert new["row"] is not None
    # Its row in the older part gave way.
    assert (old["row"], old["file"], old["settled"]) == (None, "", True)
    assert (
        "a later run took its row out" in invoke("trace", project.config, "corpus/note 002.txt").out
    )


def test_a_reject(project: Project) -> None:
    newest, *_ = traced(project, "corpus/empty.txt")
    assert (newest["row"], newest["steps"]) == (None, [])
    assert newest["reject"]["reason"] == "empty_file"
    assert "reject   empty_file (chunk)" in invoke("trace", project.config, "corpus/empty.txt").out


def test_a_key_that_nobody_planned(project: Project, tmp_path: Path) -> None:
    done = invoke("trace", project.config, "corpus/none.txt")
    assert done.code == 2
    assert "planned the key 'corpus/none.txt'" in one_line(done.err)
