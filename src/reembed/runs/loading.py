"""Load a configuration for a verb: from a file here or in Cloud Storage, with its service."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reembed.config.load import ResolvedConfig, config_from_text, load_config
from reembed.errors import ObjectNotFoundError, UsageError
from reembed.providers.open import find_provider
from reembed.storage.names import is_gs
from reembed.storage.open import open_storage


def load_from(path: str, overrides: Sequence[str], run_dir: str | None) -> ResolvedConfig:
    """Load a configuration from a file, or from an object of Cloud Storage.

    Relative places in an object start from the current folder: none lies beside it.

    Raises:
        UsageError: it is not there, or cannot be read as a configuration.
    """
    if not is_gs(path):
        return load_config(Path(path), overrides, run_dir)
    try:
        text = open_storage().read(path).decode("utf-8-sig")
    except ObjectNotFoundError as err:
        raise UsageError(f"{path}: there is no such object; give the place of a YAML file") from err
    except UnicodeDecodeError as err:
        raise UsageError(f"{path}: not UTF-8 at byte {err.start}; save it as UTF-8") from err
    return config_from_text(text, path, Path.cwd(), overrides, run_dir)


def load_service_config(path: str, overrides: Sequence[str], run_dir: str | None) -> ResolvedConfig:
    """Load a configuration, with what the environment says of its service written into it."""
    return settle_service(load_from(path, overrides, run_dir))


def settle_service(loaded: ResolvedConfig) -> ResolvedConfig:
    """Write what the environment says of the service into a configuration.

    Written there it is frozen with it, so that a resume cannot go to another service unnoticed.
    """
    return loaded.with_service(find_provider(loaded.config.service).settle(os.environ))
