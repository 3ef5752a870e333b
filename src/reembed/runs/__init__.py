"""Verbs of a run, one a file."""
