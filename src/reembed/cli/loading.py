"""Load a configuration for a command that speaks to the service: its address settled once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from reembed.config.load import LoadedConfig, load_config
from reembed.service.keys import DEFAULT_BASE_URL, resolve_base_url


def load_service_config(path: Path, overrides: Sequence[str], run_dir: str | None) -> LoadedConfig:
    """Load a configuration, with an address from the environment written into it.

    The vendor's GOOGLE_GEMINI_BASE_URL holds where the file names no address; written into the
    configuration it is frozen with it, so that a resume cannot go elsewhere unnoticed.
    """
    loaded = load_config(path, overrides, run_dir)
    service = loaded.config.service
    base_url = resolve_base_url(service.base_url, os.environ)
    if service.base_url is not None or base_url == DEFAULT_BASE_URL:
        return loaded
    settled = service.model_copy(update={"base_url": base_url})
    config = loaded.config.model_copy(update={"service": settled})
    return LoadedConfig(config, loaded.base, loaded.path)
