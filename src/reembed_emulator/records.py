"""What the emulator keeps about files, uploads and jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PENDING = "BATCH_STATE_PENDING"
RUNNING = "BATCH_STATE_RUNNING"
SUCCEEDED = "BATCH_STATE_SUCCEEDED"
FAILED = "BATCH_STATE_FAILED"
CANCELLED = "BATCH_STATE_CANCELLED"
EXPIRED = "BATCH_STATE_EXPIRED"

ACTIVE = frozenset({PENDING, RUNNING})
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED})


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Describe a stored file; `id` lacks the `files/` prefix, times are seconds since 1970."""

    id: str
    display_name: str
    mime_type: str
    size: int
    created: float
    expires: float
    sha256: str
    generated: bool = False

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"files/{self.id}"


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """Describe a resumable upload; `status` is active, final or cancelled."""

    id: str
    file_id: str
    display_name: str
    mime_type: str
    size: int
    status: str = "active"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """Describe a batch job.

    Attributes:
        id: Without the `batches/` prefix.
        number: Count of creations in this state folder, from 1; newer is higher.
        file_id: The input file; empty for an inline job.
        total: Requests in the input, blank or bad lines included.
        tokens: Enqueued tokens, estimated when the job was created.
        problem: What is wrong with a line of the input; found at creation, told at the start.
        faults: Faults that apply to this job, fixed when it was created.
        billed_rows: Requests paid for.
        billed_tokens: Tokens paid for.
    """

    id: str
    number: int
    model: str
    display_name: str
    created: float
    updated: float
    file_id: str = ""
    priority: int = 0
    state: str = PENDING
    started: float = 0.0
    ended: float = 0.0
    total: int = 0
    tokens: int = 0
    problem: str = ""
    error: dict[str, Any] | None = None
    succeeded: int = 0
    failed: int = 0
    billed_rows: int = 0
    billed_tokens: int = 0
    deleted: bool = False
    faults: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"batches/{self.id}"

    @property
    def active(self) -> bool:
        """Return whether the job counts against the quotas."""
        return self.state in ACTIVE

    @property
    def result_id(self) -> str:
        """Return the id of the result file: 42 characters, two above what `delete` takes."""
        return f"batch-{self.id}"
