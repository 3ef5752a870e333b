"""Limits of one batch job: `auto` resolved, sizes kept under the quotas."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.config.capabilities import Capabilities
from reembed.config.crosscheck import largest_chunk_tokens
from reembed.config.schema import Config

_AUTO_FRACTION = 20
# Fits an int64 with room to add; no plan comes near.
_UNBOUNDED = 2**60


@dataclass(frozen=True, slots=True)
class JobLimits:
    """Limits of one job: requests, tokens, bytes on the wire, bytes of its result."""

    requests: int
    tokens: int
    input_bytes: int
    result_bytes: int


def token_quota(config: Config, capabilities: Capabilities) -> int:
    """Tokens that all active jobs may have together; without such a quota, more than any plan."""
    bounded = capabilities.quota == "enqueued_tokens"
    return config.batch.enqueued_tokens if bounded else _UNBOUNDED


def resolve_max_tokens(config: Config) -> int:
    """Tokens of one job: as configured, or a twentieth of the quota and not under one chunk."""
    batch = config.batch
    if batch.max_tokens != "auto":
        return batch.max_tokens
    # A twentieth of a small quota may be less than one chunk, which would then fit no job.
    one_chunk = min(largest_chunk_tokens(config), batch.enqueued_tokens)
    return max(batch.enqueued_tokens // _AUTO_FRACTION, one_chunk)


def job_limits(config: Config, capabilities: Capabilities) -> JobLimits:
    """Compute the limits of one job; megabytes are 10**6 bytes.

    Where the largest job's input and result together would not fit the project's file storage,
    both shrink by the same factor: such a job could never be submitted.
    """
    batch, most = config.batch, capabilities.max_requests
    job_mb = batch.max_input_mb + batch.max_result_mb
    storage_mb = batch.file_storage_gb * 1000
    inline = batch.input == "inline"
    most_input = capabilities.max_inline_bytes if inline else capabilities.max_input_bytes
    shrink = 1.0 if inline else min(1.0, storage_mb / job_mb)
    return JobLimits(
        requests=batch.max_requests if most is None else min(batch.max_requests, most),
        tokens=resolve_max_tokens(config),
        input_bytes=max(1, min(int(batch.max_input_mb * 1e6 * shrink), most_input)),
        result_bytes=max(1, int(batch.max_result_mb * 1e6 * shrink)),
    )
