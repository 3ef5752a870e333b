from __future__ import annotations

import pytest

from reembed.bigquery.costs import query_usd, read_usd


def test_a_terabyte_of_each() -> None:
    assert query_usd(2**40) == pytest.approx(6.25)
    assert read_usd(2**39) == pytest.approx(0.55)


def test_a_tebibyte_has_its_price_and_each_table_its_least() -> None:
    assert query_usd(2**40) == 6.25
    assert query_usd(0, tables=3) == pytest.approx(3 * 10 * 2**20 / 2**40 * 6.25)
    assert query_usd(2**40, tables=3) == 6.25
