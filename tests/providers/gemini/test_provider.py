"""Gemini as a provider: where it is, whose key, and what it makes of a configuration."""

from __future__ import annotations

import pytest

from reembed.config.schema import Config, ServiceConfig
from reembed.errors import UsageError
from reembed.providers.gemini.provider import GeminiBatch
from reembed.providers.gemini.wire import GeminiWire

VENDORS = {"GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:8780"}


def test_the_vendors_variable_is_written_down_where_the_section_names_no_address() -> None:
    assert GeminiBatch(ServiceConfig()).settle(VENDORS).base_url == "http://127.0.0.1:8780"


def test_an_address_of_the_section_goes_before_the_vendors_variable() -> None:
    settings = ServiceConfig(base_url="http://127.0.0.1:1")
    assert GeminiBatch(settings).settle(VENDORS) == settings


def test_without_either_nothing_is_written_down() -> None:
    assert GeminiBatch(ServiceConfig()).settle({}) == ServiceConfig()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="ftp://x"):
        GeminiBatch(ServiceConfig()).settle({"GOOGLE_GEMINI_BASE_URL": "ftp://x"})


def test_the_key_comes_from_the_environment() -> None:
    provider = GeminiBatch(ServiceConfig())
    assert provider.key({"GEMINI_API_KEY": "some-key"}) == "some-key"
    with pytest.raises(UsageError, match="GEMINI_API_KEY"):
        provider.key({})


def test_its_wire_format_is_of_the_configured_model() -> None:
    config = Config.model_validate({"name": "n", "source": {"files": ["*"]}})
    wire = GeminiBatch(ServiceConfig()).wire(config)
    assert isinstance(wire, GeminiWire)
    assert wire.options.model == config.model.name
