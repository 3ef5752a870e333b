"""The counts of a run: they close, or the run fails with the numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.errors import RunFailedError
from reembed.runs.report import Counts, require_closed

GOOD = Counts(planned=10, rows=7, rejects=2, skipped=1, shards=3, settled=3)


def test_counts_that_close() -> None:
    assert GOOD.closes
    require_closed(GOOD)


@pytest.mark.parametrize("name", ["planned", "rows", "rejects", "skipped"])
@given(by=st.sampled_from([-2, -1, 1, 5]))
def test_one_number_off_fails_the_run_and_names_them_all(name: str, by: int) -> None:
    off = replace(GOOD, **{name: getattr(GOOD, name) + by})
    assert not off.closes
    with pytest.raises(RunFailedError, match="do not use this output") as caught:
        require_closed(off)
    for value in (off.planned, off.rows, off.rejects, off.skipped):
        assert str(value) in str(caught.value)


def test_an_unsettled_shard_does_not_close() -> None:
    assert not replace(GOOD, settled=2).closes
