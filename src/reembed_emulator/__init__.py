"""Emulator of the Gemini batch-embedding service: strict protocol, lexical vectors, no model.

In a test or a notebook:

    with EmulatorServer(EmulatorSettings(port=0)) as server:
        ...  # a client with server.base_url
"""

from __future__ import annotations

from reembed_emulator.server import EmulatorServer, run_emulator
from reembed_emulator.settings import EmulatorSettings

__all__ = ["EmulatorServer", "EmulatorSettings", "run_emulator"]
