"""Configuration: schema, model table, loading, messages, and the keys that a commit freezes."""
