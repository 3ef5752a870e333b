"""What limits of a model may be."""

import pytest

CASES = [
    ("model.limits.audio.max_seconds=0", "model.limits.audio.max_seconds", "0", "more than 0"),
    ("model.limits.name=x", "model.limits.name", "x", "give model.name"),
    ("model.limits.prices={text: 5}", "model.limits.prices.text", "5", "give keys below it"),
    ("model.limits.min_dimensions=4000", "model.limits.default_dimensions", "3072", "between 4000"),
]


@pytest.mark.parametrize(("override", "key", "value", "remedy"), CASES, ids=[c[0] for c in CASES])
def test_one_wrong_key(one_wrong_key, override: str, key: str, value: str, remedy: str) -> None:
    one_wrong_key(override, key, value, remedy)


def test_a_taken_modality_needs_a_price(error) -> None:
    found = error("model.name=gemini-embedding-001", "model.limits.audio={}")
    assert found.key == "model.limits.prices.audio"
    assert "in dollars for a million tokens" in found.remedy
