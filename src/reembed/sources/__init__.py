"""Sources of items: files, manifests, Parquet tables."""
