"""Formats: recognise a file by its bytes, cut it into pieces, render a piece again."""
