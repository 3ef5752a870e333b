"""Tables as the bytes that travel between steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reembed.beam.blocks import from_bytes, to_bytes
from reembed.beam.chunk_items import read_and_chunk
from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.schema import MANIFEST
from reembed.formats.policy import ChunkPolicy
from reembed.providers.gemini.wire import GeminiWire
from reembed.storage.content import ContentReader
from reembed.storage.local import LocalStorage
from reembed.types import Item

MakeItem = Callable[..., Item]
RunSteps = Callable[..., list[Any]]
PLAN = "plan-1"


def test_a_table_comes_back_from_its_bytes(config: Config, item: MakeItem) -> None:
    policy, options = ChunkPolicy.of(config), GeminiWire.of(config)
    chunked = read_and_chunk(ContentReader(LocalStorage()), item(0, b"Some words."), policy)
    table = manifest_of(chunked.chunks, options)
    again = from_bytes(to_bytes(table))
    assert again.equals(table)
    assert again.schema.equals(MANIFEST)
