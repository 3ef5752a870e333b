"""From a configuration's source to numbered items: one module a kind."""
