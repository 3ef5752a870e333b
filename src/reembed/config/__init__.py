"""The configuration: schema, model table, loading, messages, and what a commit freezes."""
