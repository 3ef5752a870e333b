"""The demo corpus: small files of all five modalities, drawn, played and written from a seed."""
