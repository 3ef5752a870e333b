"""The only code that knows BigQuery: the seam, the real client, its errors."""
