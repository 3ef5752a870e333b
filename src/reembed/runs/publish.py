"""Publish a settled run to its destination; once, and again after a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from reembed.config.schema import Config
from reembed.core.records import Commit
from reembed.destinations.base import Destination, SettledRun, drop_older_rejects
from reembed.destinations.open import open_destination
from reembed.ledger.run_dir import RunDir
from reembed.runs.existing import removed_keys


def publish_run(
    destination: Destination, run_dir: RunDir, commit: Commit, settled: SettledRun
) -> dict[str, Any]:
    """Publish the rows of a settled run, record that, and return what came of it.

    Raises:
        RunFailedError: the destination did not take the rows.
    """
    drop_older_rejects(run_dir, commit.number)
    published = destination.publish(settled, removed_keys(run_dir, commit.plan))
    run_dir.record_published(commit.number, settled.generation)
    return asdict(published)


def publish_settled(
    config: Config,
    run_dir: RunDir,
    commit: Commit,
    generation: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Publish a settled run to its destination, record that, and return the run's report.

    It reads the run's own record, so it is the same in the call that settled the run and in one
    after a crash; a destination that has the rows already ends the same.

    Args:
        config: names the destination.
        run_dir: where the run lies.
        commit: the run.
        generation: the settlement generation to publish.
        say: called with what is about to cost money.

    Raises:
        RunFailedError: the destination did not take the rows; the same command tries again.
    """
    rows = run_dir.run_settled(commit.number, generation).rows
    settled = SettledRun(commit.number, commit.run, generation, rows)
    destination = open_destination(config, run_dir, say)
    report = {
        **run_dir.read_report(),
        "published": publish_run(destination, run_dir, commit, settled),
    }
    run_dir.write_report(report)
    return report
