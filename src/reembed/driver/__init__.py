"""Carry out what the state machine decides, one seam operation at a time."""
