"""The service on this machine: a strict stand-in, with vectors that are no model's."""
