"""Settings of an emulated project: quotas, delays and the habits that users report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class EmulatorSettings:
    """Quotas, delays and habits of one emulated project.

    The defaults are the published limits of the service (inline body 20 MB, input file 2 GB,
    project files 20 GB for 48 hours, 100 jobs, 5,000,000 enqueued tokens of tier 2, expiry after
    48 hours) with delays that suit a test. Where the service was seen to behave in two ways, a
    setting chooses one.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        state_dir: Folder for files and jobs; None keeps them in a temporary folder.
        pending_seconds: How long a job stays PENDING.
        running_seconds: How long a job stays RUNNING at least.
        list_lag_seconds: How long a new job is missing from the list.
        concurrent_jobs: Active jobs allowed at once.
        enqueued_tokens: Tokens allowed over all active jobs.
        file_storage_bytes: Bytes allowed over all uploaded and generated files.
        max_upload_bytes: Largest uploaded file.
        max_inline_bytes: Largest body of an inline create or a synchronous call.
        max_inline_reply_bytes: Largest reply with inline results; above it `get` answers 503.
        file_life_hours: How long a file lives.
        job_expiry_hours: How long a job may be pending and running.
        shuffle_results: Answer in another order than the input's, as reported of large jobs.
        echo_metadata: Return the `metadata` of inline requests, as the schema says.
        result_files_deletable: Accept the 42-character names of result files in `files.delete`.
        missing_file_code: HTTP code for a missing file: 404, or 403 as some users report.
        strict_chunks: Refuse upload chunks that are no multiple of 256 KiB.
        expected_key: The one API key that is valid; None accepts any.
        faults: YAML or JSON file with faults to inject.
        fast_vectors: Take vectors from a small prerendered table; for benchmarks.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8901
    state_dir: Path | None = None
    # Delays that suit a test; the service takes hours.
    pending_seconds: NonNegativeFloat = 0.3
    running_seconds: NonNegativeFloat = 0.3
    # Not documented, so a client that looks for a lost job in the list must bear a lag.
    list_lag_seconds: NonNegativeFloat = 0.0
    # Confirmed limits; the tokens of tier 2, on which reports disagree.
    concurrent_jobs: PositiveInt = 100
    enqueued_tokens: PositiveInt = 5_000_000
    file_storage_bytes: PositiveInt = 20_000_000_000
    max_upload_bytes: PositiveInt = 2_000_000_000
    max_inline_bytes: PositiveInt = 20_000_000
    # Reported without a figure: the limit is an assumption.
    max_inline_reply_bytes: PositiveInt = 256_000_000
    file_life_hours: PositiveFloat = 48.0
    job_expiry_hours: PositiveFloat = 48.0
    shuffle_results: bool = True
    echo_metadata: bool = True
    result_files_deletable: bool = False
    missing_file_code: Literal[403, 404] = 404
    strict_chunks: bool = False
    expected_key: Annotated[str, Field(min_length=1)] | None = None
    faults: Path | None = None
    fast_vectors: bool = False


def load_settings(values: Mapping[str, Any]) -> EmulatorSettings:
    """Return settings made from a user's values.

    Raises:
        ValueError: A name that is not a setting, or a value out of its range.
    """
    try:
        return EmulatorSettings(**values)
    except ValidationError as err:
        raise ValueError(explain(err)) from err


def explain(err: ValidationError) -> str:
    """Return the first problem of a validation on one line: field, value, rule."""
    first = err.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{name} is not known"
    rule = re.sub(r"^\w+ should", "must", first["msg"])
    return f"{name}={first['input']!r} {rule}"
