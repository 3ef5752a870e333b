"""A source of another package is configured, checked, planned and embedded like a built-in one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Project, emulator, reembed
from reembed import registry
from reembed.config.frozen import check_frozen, frozen_view
from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.config.source import KINDS
from reembed.errors import ConfigError, UsageError
from reembed.sources.open import SOURCES, open_source
from reembed.storage.local import LocalStorage
from reembed.types import Item

TOY = "sources.toy_source"
TESTS = Path(__file__).parents[1]
Load = Callable[..., ResolvedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    def load(**source: Any) -> ResolvedConfig:
        data = {"name": "toy", "extensions": [TOY], "source": source}
        return config_from_mapping(data, tmp_path)

    yield load
    registry._added.clear()
    sys.modules.pop(TOY, None)


def test_the_table_has_every_kind_that_a_configuration_may_name() -> None:
    assert tuple(SOURCES) == KINDS
    for name in KINDS:
        assert SOURCES.get(name).samples


def test_a_toy_source_is_opened_and_read(load: Load, read_all: Callable[..., list[Item]]) -> None:
    source = open_source(load(counted={"items": 3}), LocalStorage())
    assert source.describe() == "3 counted items"
    assert [item.key for item in read_all(source)] == ["n0", "n1", "n2"]


@pytest.mark.parametrize(
    ("source", "key", "remedy"),
    [
        ({"counted": {"items": 0}}, "source.counted.items", "give more than 0"),
        ({"counted": {"items": "two"}}, "source.counted.items", "give a whole number"),
        ({"counted": {}}, "source.counted.items", "this key is required"),
        ({"counted": {"items": 1, "itms": 2}}, "source.counted.itms", "did you mean items?"),
        ({"counted": 5}, "source.counted", "this is a section; give keys below it"),
        ({"countd": {"items": 1}}, "source.countd", "not a known key; did you mean counted?"),
        ({"counted": {"items": 1}, "files": ["a"]}, "source.counted", "give one of files"),
    ],
)
def test_mistakes_in_its_section_are_explained(
    load: Load, source: dict[str, Any], key: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**source)
    assert caught.value.key == key
    assert remedy in str(caught.value)


def test_its_section_is_frozen(load: Load) -> None:
    old, new = (frozen_view(load(counted={"items": n}).config) for n in (3, 4))
    assert old["source"]["counted"] == {"items": 3}
    with pytest.raises(ConfigError, match=r"source\.counted\.items: 4: .* committed with 3"):
        check_frozen(old, new)


def test_a_sample_is_refused_where_the_source_takes_none(load: Load) -> None:
    loaded = load(counted={"items": 3}, sample=2)
    with pytest.raises(UsageError, match=r"source\.counted takes no sample; leave source\.sample"):
        open_source(loaded, LocalStorage())


def test_an_extension_that_is_not_there_is_refused(tmp_path: Path) -> None:
    data = {"name": "toy", "extensions": ["nowhere"], "source": {"files": ["*"]}}
    with pytest.raises(UsageError, match=r"extension 'nowhere' cannot be imported"):
        config_from_mapping(data, tmp_path)


def test_a_toy_source_is_planned_and_embedded(tmp_path: Path) -> None:
    settings = {"extensions": [TOY], "source": {"files": [], "counted": {"items": 5}}}
    with emulator() as remote:
        project = Project(tmp_path, remote.url, settings)
        done = reembed("run", project.config, "--json", PYTHONPATH=f"{TESTS.parent}/src:{TESTS}")
        assert done.code == 0, done.err
        again = reembed("run", project.config, "--json", PYTHONPATH=f"{TESTS.parent}/src:{TESTS}")
        assert again.json()["already"]
    rows = project.results().rows()
    assert [(row["key"], row["text"]) for row in rows] == [
        (f"n{n}", f"Number {n}.") for n in range(5)
    ]
    assert {row["source_uri"] for row in rows} == {"counted:"}
