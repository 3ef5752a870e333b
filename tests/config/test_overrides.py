"""``--set a.b=c``: values in YAML, later ones over earlier ones, and over the file."""

from typing import Any

import pytest

from reembed.config.load import apply_overrides, parse_override
from reembed.errors import UsageError


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("batch.poll_seconds=[1,5]", ("batch", "poll_seconds"), [1, 5]),
        ('source.files=["a","b"]', ("source", "files"), ["a", "b"]),
        ("name=handbook", ("name",), "handbook"),
        ("budget.max_usd=2.5", ("budget", "max_usd"), 2.5),
        ("budget.max_usd=", ("budget", "max_usd"), None),
        ("chunking.text.title=false", ("chunking", "text", "title"), False),
        (
            "service.base_url=http://127.0.0.1:8901",
            ("service", "base_url"),
            "http://127.0.0.1:8901",
        ),
        ("model.limits.audio={max_seconds: 80}", ("model", "limits", "audio"), {"max_seconds": 80}),
        ("name=a=b", ("name",), "a=b"),
        (" name =x", ("name",), "x"),
    ],
)
def test_an_override_is_a_path_and_a_value(text: str, path: tuple[str, ...], value: Any) -> None:
    assert parse_override(text) == (path, value)


@pytest.mark.parametrize("text", ["", "batch.max_requests", "=5", "batch.=5", ".a=5", "a..b=5"])
def test_what_is_no_override(text: str) -> None:
    with pytest.raises(UsageError, match=r"KEY=VALUE; for instance --set batch\.max_requests=500"):
        parse_override(text)


@pytest.mark.parametrize("raw", ["[", "{a", "'x", "a: b: c", "{a: 1, a: 2}"])
def test_a_value_that_is_no_yaml(raw: str) -> None:
    with pytest.raises(UsageError, match="the value is not YAML; put it in quotes") as caught:
        parse_override(f"batch.priority={raw}")
    assert "\n" not in str(caught.value)


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_override("service.api_key=[AIzaSyDoNotShowThis")
    assert "AIza" not in str(caught.value)


def test_later_ones_win_and_sections_are_made() -> None:
    data: dict[str, Any] = {"name": "a", "batch": {"priority": 1}, "model": None}
    merged = apply_overrides(
        data, ["batch.max_requests=5", "batch.max_requests=6", "model.limits.pdf.max_pages=3"]
    )
    assert merged == {
        "name": "a",
        "batch": {"priority": 1, "max_requests": 6},
        "model": {"limits": {"pdf": {"max_pages": 3}}},
    }
    assert data == {"name": "a", "batch": {"priority": 1}, "model": None}


def test_a_path_through_a_value() -> None:
    with pytest.raises(UsageError, match="name is a value and has no keys below it"):
        apply_overrides({"name": "a"}, ["name.first=b"])
