"""Rejects of earlier runs, which a later run has looked at anew."""

from __future__ import annotations

from reembed.ledger.layout import Layout
from reembed.storage.base import Storage


def drop_older_rejects(storage: Storage, layout: Layout, commit: int) -> None:
    """Remove the rejects of all runs but one: it has looked at every input anew."""
    for stat in storage.list(f"{layout.run_dir}/rejects/part-"):
        if not stat.uri.rsplit("/", 1)[1].startswith(f"part-{commit:04}-"):
            storage.delete(stat.uri)
