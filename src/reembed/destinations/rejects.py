"""Rejects of earlier runs, which a later run has looked at anew."""

from __future__ import annotations

from reembed.ledger.layout import Layout
from reembed.ledger.parallel import in_parallel
from reembed.storage.base import Storage


def drop_older_rejects(storage: Storage, layout: Layout, commit: int) -> None:
    """Remove the rejects of all runs but one: it has looked at every input anew."""
    names = (stat.uri for stat in storage.list(f"{layout.run_dir}/rejects/part-"))
    ours = f"{layout.run_dir}/rejects/part-{commit:04}-"
    in_parallel(storage.delete, [name for name in names if not name.startswith(ours)])
