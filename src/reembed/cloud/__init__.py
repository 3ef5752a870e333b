"""What the clients of Google's libraries share: credentials, connections, what may pass."""
