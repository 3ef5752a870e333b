"""Destinations of rows: Parquet parts, and the interface that others implement."""
