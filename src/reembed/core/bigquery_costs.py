"""What BigQuery asks for bytes: list prices on demand, in dollars."""

from __future__ import annotations

from typing import Final

# US, on demand: https://cloud.google.com/bigquery/pricing#on_demand_pricing. The first TiB of a
# month is free; a query is billed for 10 MB at least. A reservation is billed in another way.
QUERY_USD_PER_TIB: Final = 6.25
# Storage Read API: https://cloud.google.com/bigquery/pricing#data_extraction_pricing
READ_USD_PER_TIB: Final = 1.10
_TIB: Final = 2**40


def query_usd(size: int) -> float:
    """The price of a query that is billed for `size` bytes."""
    return size / _TIB * QUERY_USD_PER_TIB


def read_usd(size: int) -> float:
    """The price of reading `size` bytes by the Storage Read API."""
    return size / _TIB * READ_USD_PER_TIB
