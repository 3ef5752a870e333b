"""The table of providers: found by name, asked for limits, opened."""

from __future__ import annotations

import pytest

from reembed.config.schema import Config, ServiceConfig
from reembed.errors import ConfigError
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.providers.open import PROVIDERS, find_provider, packing_of


def config_of(**batch: object) -> Config:
    return Config.model_validate({"name": "n", "source": {"files": ["*"]}, "batch": batch})


def test_each_name_of_the_table_can_be_made() -> None:
    for name in PROVIDERS:
        settings = ServiceConfig.model_construct(provider=name)
        assert find_provider(settings).capabilities


def test_an_unknown_name_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"service\.provider: nobody") as caught:
        find_provider(ServiceConfig.model_construct(provider="nobody"))
    assert caught.value.key == "service.provider"


def test_shards_are_cut_under_the_limits_of_the_service() -> None:
    config = config_of(max_input_mb=1.9e3, max_result_mb=100, max_requests=7)
    packing = packing_of(config)
    assert packing.limits.input_bytes == 1_900_000_000 < (CAPABILITIES.max_input_bytes or 0)
    assert (packing.limits.requests, packing.price) == (7, CAPABILITIES.price)
