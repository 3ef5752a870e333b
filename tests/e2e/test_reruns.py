"""Bundles that run again, are cut off, or run twice at once: nothing is paid twice or lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from e2e.harness import Project, Remote, invoke
from e2e.spread import OF_THE_RUN, spread
from support import rerunning

pytestmark = pytest.mark.slow
# An attempt that is taken over after a lost create keeps its name; one that was fenced does not.
_MAY_DIFFER = [*OF_THE_RUN, "attempt"]


def test_bundles_that_run_again_change_nothing(
    tmp_path: Path, remote: Remote, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"batch": {"max_requests": 8, "lanes": 3}, "service": {"timeout_seconds": 1}}
    project = Project(tmp_path, remote.url, settings)
    spread(corpus, tmp_path / "corpus")
    assert invoke("run", project.config).code == 0
    once = project.results()
    rerunning.done.clear()
    for seed in ("0", "4", "34"):
        monkeypatch.setenv(rerunning.SEED, seed)
        run_dir = tmp_path / f"again-{seed}"
        engine = "--runner=support.rerunning.RerunRunner"
        done = invoke("run", project.config, "--run-dir", run_dir, "--", engine)
        assert done.code == 0, done.err
        again = project.results(run_dir)
        report = again.report
        assert report["plan"] == once.report["plan"]
        assert (
            again.table().drop_columns(_MAY_DIFFER).equals(once.table().drop_columns(_MAY_DIFFER))
        )
        assert again.reasons() == once.reasons()
        jobs = remote.jobs_of(report["run"])
        assert len(jobs) == len({job["display_name"] for job in jobs}) == report["shards"]
        billed = [
            sum(j["billed_rows"] for j in remote.jobs_of(r["run"])) for r in (report, once.report)
        ]
        assert billed[0] == billed[1]
        shutil.rmtree(run_dir)
    ways = {way for step, way in rerunning.done if step == "_Drive"}
    steps = {step for step, way in rerunning.done if way != "plain"}
    assert ways == {"again", "cut", "at once"}, rerunning.done
    assert steps == {"_Read", "_Chunk", "_Pack", "_Drive"}, rerunning.done
