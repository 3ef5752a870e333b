"""The estimate against counts of a published SentencePiece vocabulary of 256,000 entries.

The counts were taken once with such a tokenizer (byte fallback, single digits), of the family that
the service's own is said to be of. It is a stand-in: the service's tokenizer is not to be had.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reembed.formats.tokens import estimate_tokens

COUNTS = Path(__file__).parent / "token_counts.json"

# (what, text, tokens counted)
COUNTED: list[tuple[str, str, int]] = [tuple(row) for row in json.loads(COUNTS.read_bytes())]


@pytest.mark.parametrize(("what", "text", "counted"), COUNTED, ids=[row[0] for row in COUNTED])
def test_estimate_is_not_below_a_real_count(what: str, text: str, counted: int) -> None:
    assert estimate_tokens(text) >= counted, what


@pytest.mark.parametrize("what", ["English", "German", "French", "code"])
def test_estimate_is_not_wasteful(what: str) -> None:
    text, counted = next((text, counted) for name, text, counted in COUNTED if name == what)
    assert estimate_tokens(text) <= 2 * counted
