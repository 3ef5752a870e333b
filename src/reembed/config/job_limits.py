"""Limits of one batch job: `auto` resolved, sizes kept under the quotas."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.config.crosscheck import largest_chunk_tokens
from reembed.config.schema import Config

_AUTO_FRACTION = 20
# The body of an inline create must stay below 20 MB (the vendor's batch page); some is left for
# what stands around the requests.
INLINE_BODY_BYTES = 19_000_000
_INPUT_FILE_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may hold at most: requests, tokens, bytes on the wire, bytes of its result."""

    requests: int
    tokens: int
    input_bytes: int
    result_bytes: int


def resolve_max_tokens(config: Config) -> int:
    """Tokens of one job: as configured, or a twentieth of the quota and not under one chunk."""
    batch = config.batch
    if batch.max_tokens != "auto":
        return batch.max_tokens
    one_chunk = min(largest_chunk_tokens(config), batch.enqueued_tokens)
    return max(batch.enqueued_tokens // _AUTO_FRACTION, one_chunk)


def job_limits(config: Config) -> JobLimits:
    """The limits of one job; megabytes are 10**6 bytes.

    Where the largest job's input and result together would not fit the project's file storage,
    both shrink by the same factor: such a job could never be submitted.
    """
    batch = config.batch
    job_mb = batch.max_input_mb + batch.max_result_mb
    storage_mb = batch.file_storage_gb * 1000
    shrink = 1.0 if batch.input == "inline" else min(1.0, storage_mb / job_mb)
    return JobLimits(
        requests=batch.max_requests,
        tokens=resolve_max_tokens(config),
        input_bytes=max(1, min(int(batch.max_input_mb * 1e6 * shrink), _most_input(config))),
        result_bytes=max(1, int(batch.max_result_mb * 1e6 * shrink)),
    )


def _most_input(config: Config) -> int:
    return INLINE_BODY_BYTES if config.batch.input == "inline" else _INPUT_FILE_BYTES
