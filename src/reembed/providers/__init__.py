"""Embedding services behind one protocol."""
