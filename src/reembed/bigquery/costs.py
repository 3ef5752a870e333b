"""List prices of BigQuery on demand: dollars for bytes."""

from __future__ import annotations

from typing import Final

# US multi-region, on demand: https://cloud.google.com/bigquery/pricing#on_demand_pricing. The first
# TiB of a month is free; other regions, editions and reservations differ.
QUERY_USD_PER_TIB: Final = 6.25
AS_OF: Final = "2026-11-20"
# Minimum that is billed for each table that a statement names (same page).
_LEAST_BYTES: Final = 10 * 2**20
# Storage Read API: https://cloud.google.com/bigquery/pricing#data_extraction_pricing
READ_USD_PER_TIB: Final = 1.10
_TIB: Final = 2**40


def query_usd(size: int, tables: int = 1) -> float:
    """Upper bound in dollars for a statement that reads `size` bytes of `tables` tables."""
    return max(size, tables * _LEAST_BYTES) / _TIB * QUERY_USD_PER_TIB


def read_usd(size: int) -> float:
    """Price of reading `size` bytes by the Storage Read API, in dollars."""
    return size / _TIB * READ_USD_PER_TIB
