"""The configuration: schema, model table, loading, messages."""
