"""`source.files`: the files that patterns name, sorted by key."""

from __future__ import annotations

from reembed.config.load import LoadedConfig
from reembed.sources.listed import ListedSource
from reembed.storage.base import Storage
from reembed.storage.listing import list_files
from reembed.storage.sampling import sample_items


def open_files(loaded: LoadedConfig, storage: Storage) -> ListedSource:
    """List the files of a configuration; the run directory is no input.

    Raises:
        UsageError: a pattern matches nothing, two inputs have one key.
    """
    config = loaded.config
    items = list_files(config.source.files, storage, loaded.base, exclude=(config.run_dir,))
    sample = config.source.sample
    return ListedSource(items if sample is None else sample_items(items, sample))
