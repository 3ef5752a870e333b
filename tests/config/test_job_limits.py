"""Limits of one job: `auto` resolved, sizes kept under the quotas."""

from dataclasses import replace

import pytest

from reembed.config.job_limits import job_limits, resolve_max_tokens, token_quota
from reembed.providers.gemini.provider import CAPABILITIES


@pytest.mark.parametrize(
    ("overrides", "tokens"),
    [
        (["batch.enqueued_tokens=5000000"], 250_000),
        (["batch.max_tokens=12345"], 12_345),
        # A twentieth of the quota is 2,500: less than a sound of 180 seconds.
        (["batch.enqueued_tokens=50000"], 4_500),
        (["batch.enqueued_tokens=2000"], 2_000),
        (["batch.enqueued_tokens=20000", "chunking.audio.max_seconds=10"], 2_112),
        (["batch.enqueued_tokens=20000", "model.name=gemini-embedding-001"], 1_024),
    ],
)
def test_max_tokens_are_resolved(load, overrides: list[str], tokens: int) -> None:
    assert resolve_max_tokens(load(*overrides).config) == tokens


def test_a_job_fits_the_file_storage(load) -> None:
    usual = job_limits(load().config, CAPABILITIES)
    assert (usual.input_bytes, usual.result_bytes) == (512_000_000, 256_000_000)
    small = job_limits(load("batch.file_storage_gb=0.384").config, CAPABILITIES)
    assert (small.input_bytes, small.result_bytes) == (256_000_000, 128_000_000)
    inline = job_limits(
        load("batch.file_storage_gb=0.1", "batch.input=inline").config, CAPABILITIES
    )
    assert inline == replace(usual, input_bytes=19_000_000)  # a create's body stays below 20 MB


def test_the_service_bounds_what_one_job_holds(load) -> None:
    small = replace(CAPABILITIES, max_requests=5, max_input_bytes=1000)
    limits = job_limits(load().config, small)
    assert (limits.requests, limits.input_bytes) == (5, 1000)
    assert job_limits(load("batch.max_requests=3").config, small).requests == 3


def test_without_a_quota_of_tokens_any_plan_fits(load) -> None:
    config = load("batch.enqueued_tokens=2000").config
    assert token_quota(config, CAPABILITIES) == 2000
    assert token_quota(config, replace(CAPABILITIES, quota="rate")) > 10**15
