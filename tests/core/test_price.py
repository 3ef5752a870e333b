"""Money is exact, and what shards cost adds up to what the plan said."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.load import config_from_mapping
from reembed.config.models import MODELS, ModelSpec
from reembed.core.price import cap_nano, format_usd, price, to_usd
from reembed.errors import ConfigError

TWO, ONE = MODELS["gemini-embedding-2"], MODELS["gemini-embedding-001"]
TOKENS = st.integers(0, 10**13)


def spec_with(**prices: object) -> ModelSpec:
    data = {"name": "a", "source": {"files": ["x"]}, "model": {"limits": {"prices": prices}}}
    return config_from_mapping(data, Path("/srv")).config.model.spec()


def test_a_million_tokens_cost_what_the_list_says() -> None:
    million = {m: 10**6 for m in ("text", "image", "audio", "video", "pdf")}
    found = price(million, TWO)
    assert [(p.modality, p.batch_usd_nano / 1e9) for p in found.parts] == [
        ("audio", 3.25),
        ("image", 0.225),
        ("pdf", 0.225),
        ("text", 0.1),
        ("video", 6.0),
    ]
    assert found.online_usd == Decimal("19.6")
    assert found.batch_usd == Decimal("9.8")
    assert found.tokens == 5 * 10**6
    assert (found.as_of, found.source) == (TWO.as_of, TWO.source)


def test_the_text_model() -> None:
    found = price({"text": 1}, ONE)
    assert (found.online_usd_nano, found.batch_usd_nano) == (150, 75)


def test_nothing_costs_nothing() -> None:
    assert price({}, TWO).batch_usd == 0
    assert price({"text": 0, "audio": 0}, ONE).parts == ()


@given(st.lists(TOKENS, min_size=1, max_size=20), st.sampled_from(sorted(TWO.prices)))
def test_the_prices_of_shards_add_up_to_the_plans(shards: list[int], modality: str) -> None:
    apart = [price({modality: tokens}, TWO) for tokens in shards]
    whole = price({modality: sum(shards)}, TWO)
    assert sum(p.batch_usd_nano for p in apart) == whole.batch_usd_nano
    assert sum(p.online_usd_nano for p in apart) == whole.online_usd_nano


@given(TOKENS, st.floats(0, 1000, allow_nan=False))
def test_an_odd_price_is_rounded_up_by_less_than_a_billionth(tokens: int, usd: float) -> None:
    spec = spec_with(text={"online": usd, "batch": usd})
    exact = Fraction(str(usd)) * tokens * 1000
    assert exact <= price({"text": tokens}, spec).batch_usd_nano < exact + 1


def test_a_price_is_the_decimal_that_was_written() -> None:
    spec = spec_with(text={"online": 0.3, "batch": 0.1})
    assert price({"text": 3 * 10**15}, spec).batch_usd == Decimal(300_000_000)


def test_a_modality_without_a_price_names_the_key() -> None:
    with pytest.raises(ConfigError, match="gemini-embedding-001 has no price for audio") as caught:
        price({"audio": 5}, ONE)
    assert caught.value.key == "model.limits.prices.audio"


def test_a_negative_count_is_an_error() -> None:
    with pytest.raises(ValueError, match="-1 tokens of text"):
        price({"text": -1}, TWO)


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(None, None), (0, 0), (25, 25 * 10**9), (0.1, 10**8), (1e-9, 1), (1.9999999999, 1999999999)],
)
def test_a_cap_is_rounded_down(usd: float | None, nano: int | None) -> None:
    assert cap_nano(usd) == nano


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (123_456_789, "$0.1235"),
        (1_234_567, "$0.001235"),
        (999_999_999, "$1.0000"),
        (1_000_000_000, "$1.00"),
        (1_000_000_001, "$1.01"),
        (12_345_678_000_000_000, "$12,345,678.00"),
    ],
)
def test_dollars_for_a_reader_are_never_too_few(nano: int, shown: str) -> None:
    assert format_usd(nano) == shown
    assert Decimal(shown[1:].replace(",", "")) >= to_usd(nano)
