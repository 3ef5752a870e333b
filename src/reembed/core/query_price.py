"""What a statement costs on demand, by the bytes that it is billed for."""

from __future__ import annotations

from typing import Final

# Dollars for a TiB, on demand, in the US multi-region; other regions and editions differ. The
# first TiB of a month is free: https://cloud.google.com/bigquery/pricing#on_demand_pricing
USD_PER_TIB: Final = 6.25
AS_OF: Final = "2026-11-20"
# The least that is billed for a table that a statement names (same page).
_LEAST: Final = 10 * 2**20


def query_usd(size: int, tables: int = 1) -> float:
    """Dollars for a statement of `size` bytes that names `tables` tables; an upper bound."""
    return max(size, tables * _LEAST) / 2**40 * USD_PER_TIB
