"""Recognise, validate and cut what comes in; render media pieces for sending."""
