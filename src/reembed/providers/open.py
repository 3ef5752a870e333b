"""Table of providers: `service.provider` to the function that makes one, and how to add another."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final, cast

from reembed.config.schema import ServiceConfig
from reembed.errors import ConfigError
from reembed.providers.base import ClosingService, Provider

# Name to ``module:function``; the function takes the section `service` and gives a `Provider`.
# Text, so that a run imports the one service that it uses.
PROVIDERS: dict[str, str] = {"gemini_batch": "reembed.providers.gemini.provider:GeminiBatch"}

# Packages that are installed beside this one name their providers under this group, so that every
# process of a run knows them, workers included.
ENTRY_POINTS: Final = "reembed.providers"


def register_provider(name: str, target: str) -> None:
    """Add a provider in this process.

    A run on several machines needs the provider in each: there, name it as an entry point of the
    group `ENTRY_POINTS` instead.

    Args:
        name: what `service.provider` is to say.
        target: ``module:function``, as in `PROVIDERS`.

    Raises:
        ValueError: the name is taken by another target, or the target is none.
    """
    if not all(target.partition(":")):
        raise ValueError(f"{target!r} names no function; give module:function")
    if PROVIDERS.setdefault(name, target) != target:
        raise ValueError(f"{name!r} is {PROVIDERS[name]} already; give {target} another name")


def find_provider(settings: ServiceConfig) -> Provider:
    """Find the provider that a configuration names.

    Raises:
        ConfigError: no provider has this name, or its module cannot be imported.
    """
    name = settings.provider
    target = PROVIDERS.get(name) or _installed().get(name)
    if target is None:
        known = ", ".join(sorted({*PROVIDERS, *_installed()}))
        raise ConfigError("service.provider", name, f"no such provider; give one of: {known}")
    module, _, function = target.partition(":")
    try:
        make = getattr(import_module(module), function)
    except (ImportError, AttributeError) as err:
        raise ConfigError(
            "service.provider", name, f"{target} cannot be imported ({err}); install its package"
        ) from err
    return cast("Callable[[ServiceConfig], Provider]", make)(settings)


def open_provider(settings: ServiceConfig, key: str) -> ClosingService:
    """Open the service that a configuration names; nothing is sent yet.

    Raises:
        ConfigError: as `find_provider`.
        UsageError: the key or the address cannot be one.
    """
    return find_provider(settings).open(key)


def _installed() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
