"""Fixtures of `support.chunks` for this folder."""

from support.chunks import chunks_of, files, item_of, policy_of

__all__ = ["chunks_of", "files", "item_of", "policy_of"]
