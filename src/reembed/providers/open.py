"""Table of providers: what `service.provider` may say, and the service behind each name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reembed.config.schema import Config, ServiceConfig
from reembed.core.pack import Packing
from reembed.errors import ConfigError, UsageError
from reembed.providers.base import ClosingService, Provider
from reembed.registry import Table

# Makes a provider from the section `service`; nothing is sent by it.
MakeProvider = Callable[[ServiceConfig], Provider]

PROVIDERS: Final[Table[MakeProvider]] = Table(
    "reembed.providers", {"gemini_batch": "reembed.providers.gemini.provider:GeminiBatch"}
)


def find_provider(settings: ServiceConfig) -> Provider:
    """Find the provider that a configuration names.

    Raises:
        ConfigError: there is none of this name, or its module cannot be imported.
    """
    try:
        make = PROVIDERS.get(settings.provider)
    except UsageError as err:
        raise ConfigError("service.provider", settings.provider, str(err)) from err
    return make(settings)


def packing_of(config: Config) -> Packing:
    """Make the packing of a configuration, under the limits of the service that it names.

    Raises:
        ConfigError: as `find_provider`.
    """
    provider = find_provider(config.service)
    return Packing.of(config, provider.wire(config), provider.capabilities)


def open_provider(settings: ServiceConfig, key: str) -> ClosingService:
    """Open the service that a configuration names; nothing is sent yet.

    Raises:
        ConfigError: as `find_provider`.
        UsageError: the key or the address cannot be one.
    """
    return find_provider(settings).open(key)
