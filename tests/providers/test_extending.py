"""A provider of another package is configured, planned and driven like the built-in one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from e2e.harness import Done, invoke
from reembed import registry
from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.errors import ConfigError, RefusedError, UsageError
from reembed.machine.rules import check_drivable
from reembed.providers.base import Capabilities, MinimalService
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.provider import CAPABILITIES
from reembed.providers.open import PROVIDERS, find_provider, open_provider

TOY = "providers.toy_provider"
Load = Callable[..., ResolvedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    def load(**service: Any) -> ResolvedConfig:
        data = {"name": "toy", "extensions": [TOY], "source": {"files": ["*"]}, "service": service}
        return config_from_mapping(data, tmp_path)

    yield load
    registry._added.clear()
    sys.modules.pop(TOY, None)


def test_gemini_is_what_a_configuration_means_that_names_none(load: Load) -> None:
    settings = load().config.service
    assert settings.provider == "gemini_batch" == next(iter(PROVIDERS))
    with open_provider(settings, "some-key") as service:
        assert isinstance(service, GeminiService)


def test_an_unknown_provider_is_refused_with_those_that_are_known(load: Load) -> None:
    with pytest.raises(
        ConfigError, match=r"service\.provider: toyy: .*gemini_batch, toy"
    ) as caught:
        find_provider(load(provider="toyy").config.service)
    assert caught.value.key == "service.provider"


def test_a_toy_provider_drives_a_run_in_memory(load: Load, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"Text {number}, about {number * 31}.")
    config = {
        "name": "toy",
        "run_dir": "./run",
        "extensions": [TOY],
        "source": {"files": ["./*.txt"]},
        "model": {"dimensions": 128},
        "batch": {"poll_seconds": [0.05, 0.2]},
        "service": {"provider": "toy"},
        "budget": {"max_usd": 1},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(config))
    load()
    done: Done = invoke("run", tmp_path / "job.yaml", "--json")
    assert done.code == 0, done.err
    assert [job.state for job in sys.modules[TOY].JOBS.values()] == ["SUCCEEDED"]
    [part] = (tmp_path / "run" / "vectors").glob("*.parquet")
    rows = pq.read_table(part).to_pylist()
    assert [Path(row["key"]).name for row in rows] == ["0.txt", "1.txt", "2.txt"]
    assert len({tuple(row["embedding"]) for row in rows}) == 3
    assert invoke("run", tmp_path / "job.yaml", "--json").json()["already"]
    assert len(sys.modules[TOY].JOBS) == 1, "nothing was bought again"


def test_a_service_that_lacks_something_says_so() -> None:
    service = MinimalService()
    with pytest.raises(RefusedError, match=r"set batch\.input to file"):
        service.create_inline("m", "n", [], 0)
    with pytest.raises(RefusedError, match="the plan's estimate stands"):
        service.count_tokens("m", "text")
    with pytest.raises(RefusedError, match="no online call to compare"):
        service.embed("m", b"{}")
    assert list(service.list_files()) == []
    assert service.model("m").methods == ()


@pytest.mark.parametrize(
    ("lacking", "why"),
    [
        (replace(CAPABILITIES, lists_jobs=False), "list its jobs by name"),
        (replace(CAPABILITIES, inputs_fence=False), "whose input was deleted"),
    ],
    ids=["lists_jobs", "inputs_fence"],
)
def test_a_service_whose_jobs_could_be_paid_twice_is_refused(
    lacking: Capabilities, why: str
) -> None:
    check_drivable("toy", CAPABILITIES)
    with pytest.raises(UsageError, match=rf"service\.provider: toy does not .*{why}"):
        check_drivable("toy", lacking)


def test_a_refused_key_is_named_by_where_it_is_from(load: Load) -> None:
    secret = "projects/demo/secrets/key/versions/2"
    assert find_provider(load().config.service).key_name() == "GEMINI_API_KEY"
    assert find_provider(load(api_key_secret=secret).config.service).key_name() == secret
    assert find_provider(load(provider="toy").config.service).key_name() == "the sign-in of toy"
