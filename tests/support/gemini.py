"""A configuration's packing under the limits and the wire format of Gemini."""

from __future__ import annotations

from reembed.config.schema import Config
from reembed.core.pack import Packing
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.providers.gemini.wire import GeminiWire


def packing_of(config: Config) -> Packing:
    """Make the packing of a configuration."""
    return Packing.of(config, GeminiWire.of(config), CAPABILITIES)
