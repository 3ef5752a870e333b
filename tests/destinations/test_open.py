"""The table of destinations, and opening the one that a configuration names."""

from __future__ import annotations

from pathlib import Path

import pytest

from reembed.bigquery.destination import BigQueryTable
from reembed.config.schema import Config
from reembed.destinations.open import DESTINATIONS, open_destination
from reembed.destinations.parquet import ParquetParts
from reembed.errors import UsageError
from reembed.ledger.run_dir import open_run_dir


def config_of(folder: Path, **destination: object) -> Config:
    return Config.model_validate(
        {
            "name": "n",
            "run_dir": str(folder),
            "source": {"files": ["*"]},
            "destination": destination,
        }
    )


def test_parts_of_the_run_directory_are_the_destination_unless_another_is_named(
    tmp_path: Path,
) -> None:
    run_dir = open_run_dir(str(tmp_path))
    opened = open_destination(config_of(tmp_path), run_dir)
    assert isinstance(opened, ParquetParts)
    table = {"table": "my-project.data.items", "project": "my-project"}
    opened = open_destination(config_of(tmp_path, bigquery=table), run_dir)
    assert isinstance(opened, BigQueryTable)


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError, match="there are parquet, bigquery"):
        DESTINATIONS.get("vault")
