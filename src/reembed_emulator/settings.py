"""What an emulated project allows and how its jobs behave: one frozen object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_POSITIVE = (
    "concurrent_jobs",
    "enqueued_tokens",
    "file_storage_bytes",
    "max_upload_bytes",
    "max_inline_bytes",
    "max_inline_reply_bytes",
    "file_life_hours",
    "job_expiry_hours",
)
_NOT_NEGATIVE = ("pending_seconds", "running_seconds", "list_lag_seconds")


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """Hold the quotas, delays and habits of one emulated project.

    The defaults are the documented limits of the service (inline body 20 MB, input file 2 GB,
    project files 20 GB for 48 hours, 100 jobs, 5,000,000 enqueued tokens, expiry after 48 hours)
    with delays that suit a test.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        state_dir: Where files and jobs are kept; None keeps them in a temporary folder.
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
        shuffle_results: Answer in another order than the input's, as large jobs do.
        echo_metadata: Return the `metadata` of inline requests.
        result_files_deletable: Accept the 42-character names of result files in `files.delete`.
        missing_file_code: HTTP code for a file that is gone: 404, or 403 as some users report.
        strict_chunks: Refuse upload chunks that do not keep to the granularity of 256 KiB.
        expected_key: The one API key that is valid; None takes any.
        faults: A YAML or JSON file with faults to inject.
        fast_vectors: Take vectors from a small table made beforehand; for benchmarks.
    """

    host: str = "127.0.0.1"
    port: int = 8901
    state_dir: Path | None = None
    pending_seconds: float = 0.3
    running_seconds: float = 0.3
    list_lag_seconds: float = 0.0
    concurrent_jobs: int = 100
    enqueued_tokens: int = 5_000_000
    file_storage_bytes: int = 20_000_000_000
    max_upload_bytes: int = 2_000_000_000
    max_inline_bytes: int = 20_000_000
    max_inline_reply_bytes: int = 256_000_000
    file_life_hours: float = 48.0
    job_expiry_hours: float = 48.0
    shuffle_results: bool = True
    echo_metadata: bool = True
    result_files_deletable: bool = False
    missing_file_code: int = 404
    strict_chunks: bool = False
    expected_key: str | None = None
    faults: Path | None = None
    fast_vectors: bool = False

    def __post_init__(self) -> None:
        """Check the numbers; raise ValueError that names the first bad one."""
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port={self.port} must be between 0 and 65535")
        if self.missing_file_code not in (403, 404):
            raise ValueError(f"missing_file_code={self.missing_file_code} must be 403 or 404")
        if self.expected_key == "":
            raise ValueError("expected_key is empty: give a key, or None to take any")
