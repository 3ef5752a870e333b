"""Decisions as pure functions: no Beam, no network, no clock, no disk."""
