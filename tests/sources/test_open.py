"""The table of sources, and opening the one that a configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.errors import UsageError
from reembed.sources.open import SOURCES, open_source
from reembed.storage.local import LocalStorage


def load(folder: Path, **source: object) -> ResolvedConfig:
    return config_from_mapping({"name": "n", "source": source}, folder)


TABLE = pa.table({"k": ["a"], "t": ["words"]})


@pytest.mark.parametrize(
    "source",
    [
        {"files": ["./*.txt"]},
        {"manifest": ["./a.jsonl"]},
        {"parquet": {"files": ["./a.parquet"], "key": "k", "text": "t"}},
    ],
    ids=lambda source: next(iter(source)),
)
def test_each_kind_is_opened_by_its_section(source: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "a.jsonl").write_text('{"key": "a", "uri": "./a.txt"}\n')
    pq.write_table(TABLE, tmp_path / "a.parquet")
    opened = open_source(load(tmp_path, **source), LocalStorage())
    assert list(opened.identity())
    assert SOURCES.get(next(iter(source))).samples


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="there are files, manifest, parquet, bigquery"):
        SOURCES.get("mailbox")
