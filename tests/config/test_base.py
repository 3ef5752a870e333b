"""A value in a message: one short line, and no secret."""

import pytest

from reembed.config.base import show_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines", '"two\\nlines"'),
        (" spaced", '" spaced"'),
        ("", '""'),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ("x" * 80, "x" * 59 + "…"),
        ("AIzaSyA1234567890", "(not shown)"),
        ("not\udcffutf8", "not\\udcffutf8"),
    ],
)
def test_values_are_one_short_line(value: object, shown: str) -> None:
    assert show_value(value) == shown
