"""The numbers of docs/scale.md are those of the program, and the program's those of the code."""

import re

import numpy as np
import pytest

from e2e.harness import ROOT
from reembed.config.job_limits import job_limits
from reembed.providers.gemini.provider import CAPABILITIES


def test_operations_of_a_shard_are_still_those_that_were_fitted():
    import operations

    assert operations.per_shard() == operations.PER_SHARD


def test_a_partition_is_packed_as_the_plan_packs_it():
    import shape

    limits = job_limits(shape.config_of(shape.TIERS[2]), CAPABILITIES)
    found = shape.shape_of(shape.TEXT, 10**8, shape.TIERS[2])
    assert limits.tokens == 500_000
    # A thousand texts of 500 tokens, less their eight canaries and what is left of a partition.
    assert found.per_partition == 21
    assert np.isclose(found.rows * found.per_partition, 20_000)
    assert found.partitions == 5_000


@pytest.mark.parametrize("name", ["quotas", "objects", "operations", "workers", "planning"])
def test_the_document_shows_the_tables_that_the_program_prints(name):
    import tables

    shown = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    for line in getattr(tables, name)().splitlines():
        assert _bare(line) in _bare(shown), f"docs/scale.md lacks: {line}"


def _bare(text: str) -> str:
    return re.sub(r"[ -]+", "", text)
