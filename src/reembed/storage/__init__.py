"""The only code that touches Cloud Storage or disk outside Beam's own reads."""
