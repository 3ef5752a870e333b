"""Sources opened from a mapping in the test's folder, and all of their items."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reembed.config.load import config_from_mapping
from reembed.core.names import PARTITION_ITEMS
from reembed.ledger.run_dir import open_run_dir
from reembed.sources.base import Source
from reembed.sources.open import open_source
from reembed.storage.local import LocalStorage
from reembed.types import Item


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., Source]:
    """Open ``source: {…}``."""

    def open_(**source: Any) -> Source:
        loaded = config_from_mapping({"name": "t", "source": source}, tmp_path)
        return open_source(loaded, LocalStorage())

    return open_


@pytest.fixture
def read_all(tmp_path: Path) -> Callable[[Source], list[Item]]:
    """Prepare a source and read every span: each block in one partition, the count as promised."""

    def read(source: Source) -> list[Item]:
        prepared = source.prepare(open_run_dir(str(tmp_path / "run")), "p")
        blocks = [b for span in prepared.spans for b in prepared.reader.read(LocalStorage(), span)]
        for block in blocks:
            assert {item.position.index // PARTITION_ITEMS for item in block.items} == {
                block.partition
            }
        items = [item for block in blocks for item in block.items]
        assert len(items) == prepared.items
        return items

    return read
