"""The state machine of a shard: what is known, what to do next."""
