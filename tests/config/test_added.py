"""Sections of kinds from other packages: read by their model, frozen without their free keys."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from reembed import registry
from reembed.config.base import Section
from reembed.config.frozen import frozen_view
from reembed.config.source import SourceConfig
from reembed.errors import ConfigError, UsageError

GROUP = SourceConfig.group


class Feed(Section):
    free = ("page_size",)
    url: str
    tags: tuple[str, ...] = ()
    page_size: int = 100


@dataclass
class Kind:
    section: type | None


@pytest.fixture(autouse=True)
def _kinds() -> Iterator[None]:
    registry.add(GROUP, "feed", Kind(Feed))
    registry.add(GROUP, "bare", Kind(None))
    yield
    registry._added.pop(GROUP)


def feed(load, **keys: object):
    return load(source={"feed": {"url": "x", **keys}}).config


def test_a_section_is_read_by_its_own_model(load) -> None:
    config = feed(load, tags=["a", "b"])
    assert config.source.kind == "feed"
    assert config.source.added(Feed) == Feed(url="x", tags=("a", "b"))
    assert pickle.loads(pickle.dumps(config)) == config
    assert config != feed(load, tags=["a"])


def test_all_keys_but_the_free_ones_are_frozen(load) -> None:
    one, two = feed(load, page_size=1), feed(load, page_size=2)
    assert frozen_view(one) == frozen_view(two)
    assert frozen_view(one)["source"]["feed"] == {"url": "x", "tags": []}
    assert frozen_view(one) != frozen_view(feed(load, tags=["a"]))


@pytest.mark.parametrize("name", ["bare", "fed"])
def test_a_kind_without_a_section_takes_none(load, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"source\.{name}: 5: not a known key; "):
        load(source={name: 5})


def test_a_secret_in_an_unknown_section_is_not_shown(load) -> None:
    with pytest.raises(ConfigError, match=r"source\.api_key: \(not shown\): not a known key"):
        load(source={"api_key": "AIzaSyA-secret-secret"})


def test_a_package_that_cannot_be_imported_hides_no_other_mistake(load) -> None:
    registry.add(GROUP, "broken", "no_such_module:KIND")
    with pytest.raises(ConfigError, match=r"source\.fed: 5: not a known key; did you mean feed\?"):
        load(source={"fed": 5})
    with pytest.raises(UsageError, match="'no_such_module:KIND' cannot be imported"):
        load(source={"broken": {}})
