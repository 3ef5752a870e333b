"""The same job on an engine with worker processes: nothing is lost between them."""

from __future__ import annotations

import pytest

from e2e.harness import Project, Remote, reembed, texts


@pytest.mark.slow
def test_two_worker_processes_give_what_one_gives(
    tmp_path_factory: pytest.TempPathFactory, remote: Remote
) -> None:
    folder = tmp_path_factory.mktemp("engines")
    project = Project(folder, remote.url, {"batch": {"max_requests": 30}}).write(texts(150))
    alone = reembed("run", project.config)
    assert alone.code == 0, alone.err
    two = folder / "two"
    options = ["--runner=DirectRunner", "--direct_num_workers=2"]
    mode = "--direct_running_mode=multi_processing"
    done = reembed("run", project.config, "--run-dir", two, "--", *options, mode)
    assert done.code == 0, done.err
    assert "Warning" not in done.err
    one, other = project.results(), project.results(two)
    assert other.report["rows"] == 150
    assert other.report["plan"] == one.report["plan"]
    of_the_run = ["run", "job", "embedded_at"]
    assert other.table().drop_columns(of_the_run).equals(one.table().drop_columns(of_the_run))
    lanes = sorted(path.name for path in two.glob("ledger/runs/0001/progress/*"))
    assert lanes == ["00000", "00001"], "one lane a worker"
