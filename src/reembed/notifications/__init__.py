"""Notifications to people about a run."""
