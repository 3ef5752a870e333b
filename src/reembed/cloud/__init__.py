"""Credentials, connections and transient errors shared by Google's client libraries."""
