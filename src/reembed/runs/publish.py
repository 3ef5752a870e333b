"""Publish a settled run to its destination; once, and again after a crash."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reembed.core.records import Commit
from reembed.destinations.base import Destination, SettledRun, drop_older_rejects
from reembed.ledger.run_dir import RunDir
from reembed.runs.existing import removed_keys


def publish_run(
    destination: Destination,
    run_dir: RunDir,
    commit: Commit,
    settled: SettledRun,
) -> dict[str, Any]:
    """Publish a settled run, put it on record, and return what came of it, for the report.

    Raises:
        RunFailedError: the destination did not take it; the same command tries again.
    """
    drop_older_rejects(run_dir, commit.number)
    removed = removed_keys(run_dir, commit.plan)
    published = destination.publish(settled, removed)
    run_dir.record_published(commit.number, settled.generation)
    return asdict(published)
