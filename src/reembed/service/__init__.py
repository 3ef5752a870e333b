"""The only code that knows the network service."""
