"""Perform the state machine's actions, one operation on one seam at a time."""
