"""`source.files`: the files that patterns name, with their sidecars, sorted by key."""

from __future__ import annotations

from reembed.config.load import LoadedConfig
from reembed.sources.listed import ListedSource
from reembed.sources.sidecars import (
    Told,
    find_manifest,
    with_sidecar_files,
    with_sidecar_manifest,
)
from reembed.sources.uris import Resolver
from reembed.storage.base import Storage
from reembed.storage.listing import list_files
from reembed.storage.sampling import sample_items
from reembed.types import Item


def open_files(loaded: LoadedConfig, storage: Storage) -> ListedSource:
    """List the files of a configuration; the run directory is no input.

    Raises:
        UsageError: a pattern matches nothing, two inputs have one key, the manifest of the
            sidecar cannot be read.
    """
    config = loaded.config
    items = list_files(config.source.files, storage, loaded.base, exclude=(config.run_dir,))
    sidecar, said = config.source.sidecar, ""
    if sidecar is not None:
        told = _told(items, sidecar, loaded, storage)
        items, said = told.items, told.said
    sample = config.source.sample
    return ListedSource(items if sample is None else sample_items(items, sample), said=said)


def _told(items: list[Item], sidecar: str, loaded: LoadedConfig, storage: Storage) -> Told:
    if sidecar == "json":
        return with_sidecar_files(items, storage)
    named = list_files((sidecar,), storage, loaded.base, exclude=(loaded.config.run_dir,))
    manifest = find_manifest(named, sidecar)
    return with_sidecar_manifest(items, manifest, storage, Resolver(str(loaded.base)))
