"""The live check against emulators that behave as assumed, and that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e2e.harness import emulator
from reembed.config.load import ResolvedConfig
from reembed.errors import RunFailedError
from reembed.providers.gemini.client import open_service
from reembed.runs.live_check import LiveFindings, check_live
from support.clocks import QuickClock

Load = Callable[..., ResolvedConfig]


def findings(load: Load, **settings: object) -> LiveFindings:
    said: list[str] = []
    with emulator(**settings) as remote:
        config = load(service={"base_url": remote.url}, model={"dimensions": 256}).config
        with open_service(config.service, "local", {}) as service:
            seen = check_live(config, service, QuickClock(100), 3000, said.append)
            left = [file.name for file in service.list_files() if "re-doctor" in file.name]
    assert left == [], "the input file is deleted"
    assert len(said) == 3
    return seen


def test_a_service_as_it_is_assumed_to_be(load: Load) -> None:
    seen = findings(load)
    assert seen.file_keys
    assert seen.inline_keys
    assert seen.model_in_lines
    assert seen.dimensions == (256,)
    assert seen.online_cosine == pytest.approx(1, abs=1e-5)
    assert 0 < seen.norm_min <= seen.norm_max
    assert seen.result_deletable is False
    assert seen.listed_seconds is not None
    assert seen.as_json()["schema"] == 1


def test_a_service_that_gives_no_metadata_back(load: Load) -> None:
    seen = findings(load, echo_metadata=False, result_files_deletable=True)
    assert seen.file_keys
    assert not seen.inline_keys
    assert seen.result_deletable is True


def test_a_list_that_lags(load: Load) -> None:
    prompt, late = findings(load), findings(load, list_lag_seconds=0.05)
    assert prompt.listed_seconds is not None
    assert late.listed_seconds is not None
    assert late.listed_seconds > prompt.listed_seconds


def test_a_job_that_fails_is_said(load: Load) -> None:
    with emulator() as remote:
        remote.faults({"job": 1, "do": "fail_job", "code": 3, "message": "no such field"})
        config = load(service={"base_url": remote.url}).config
        with (
            open_service(config.service, "local", {}) as service,
            pytest.raises(RunFailedError, match=r"FAILED: .*no such field"),
        ):
            check_live(config, service, QuickClock(100), 3000, lambda words: None)
