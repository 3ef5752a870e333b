"""Gemini batch service: wire format and client together."""
