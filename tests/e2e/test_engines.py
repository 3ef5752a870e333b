"""The same job on an engine with worker processes: nothing is lost between them."""

from __future__ import annotations

import os
import signal

import pytest

from e2e.harness import Project, Remote, emulator, invoke, reembed, start, texts, wait_until

TWO_PROCESSES = (
    "--runner=DirectRunner",
    "--direct_num_workers=2",
    "--direct_running_mode=multi_processing",
)


@pytest.mark.slow
def test_two_worker_processes_give_what_one_gives(
    tmp_path_factory: pytest.TempPathFactory, remote: Remote
) -> None:
    folder = tmp_path_factory.mktemp("engines")
    project = Project(folder, remote.url, {"batch": {"max_requests": 30}}).write(texts(150))
    alone = reembed("run", project.config)
    assert alone.code == 0, alone.err
    two = folder / "two"
    done = reembed("run", project.config, "--run-dir", two, "--", *TWO_PROCESSES)
    assert done.code == 0, done.err
    assert "Warning" not in done.err
    one, other = project.results(), project.results(two)
    assert other.report["rows"] == 150
    assert other.report["plan"] == one.report["plan"]
    of_the_run = ["run", "job", "embedded_at"]
    assert other.table().drop_columns(of_the_run).equals(one.table().drop_columns(of_the_run))
    lanes = sorted(path.name for path in two.glob("ledger/runs/0001/progress/*"))
    assert lanes == ["00000", "00001"], "one lane a worker"


@pytest.mark.slow
def test_ctrl_c_ends_worker_processes_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A terminal sends it to the whole group: the engine would wait for its workers for ever."""
    with emulator(pending_seconds=1, running_seconds=2) as slow:
        settings = {"batch": {"max_requests": 12}, "service": {"timeout_seconds": 1}}
        folder = tmp_path_factory.mktemp("interrupted")
        project = Project(folder, slow.url, settings).write(texts(40))
        process = start("run", project.config, "--", *TWO_PROCESSES)
        try:
            wait_until(lambda: len(slow.jobs()) > 2, 60)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        assert process.returncode == 130, err
        assert "reembed run" in err
        done = invoke("run", project.config)
        assert done.code == 0, done.err
        report = project.results().report
        assert report["rows"] == 40
        assert len(slow.jobs_of(report["run"])) == len(slow.jobs()) == report["shards"]
