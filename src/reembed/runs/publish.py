"""Publish a settled run to its destination; once, and again after a crash."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from reembed.core.records import Commit, RunPublished
from reembed.destinations.base import Destination, SettledRun
from reembed.errors import AlreadyExistsError
from reembed.ledger.layout import Layout
from reembed.runs.existing import removed_keys
from reembed.storage.base import Storage


def publish_run(
    destination: Destination,
    storage: Storage,
    layout: Layout,
    commit: Commit,
    settled: SettledRun,
) -> dict[str, Any]:
    """Publish a settled run, put it on record, and return what came of it, for the report.

    Raises:
        RunFailedError: the destination did not take it; the same command tries again.
    """
    removed = removed_keys(storage, layout, commit.plan)
    published = destination.publish(settled, removed)
    try:
        name = layout.run_published(commit.number, settled.generation)
        storage.create(name, RunPublished().encode())
    except AlreadyExistsError:
        pass  # by another call of the same run: it came to the same
    return asdict(published)
