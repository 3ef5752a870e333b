from __future__ import annotations

import pytest

from reembed.bigquery.costs import query_usd, read_usd


def test_a_terabyte_of_each() -> None:
    assert query_usd(2**40) == pytest.approx(6.25)
    assert read_usd(2**39) == pytest.approx(0.55)
