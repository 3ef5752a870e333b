"""Capabilities of an embedding service: what plans and the state machine may count on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PriceKind = Literal["batch", "online"]
QuotaKind = Literal["enqueued_tokens", "rows", "rate"]

# The longest that any service may keep a result. The log of reservations forgets results that are
# older, or it would only grow: a service that keeps them longer needs a larger bound here.
LONGEST_RESULT_SECONDS: Final = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Limits and habits of a service, as its provider states them.

    Attributes:
        price: the column of the model table that its jobs are billed by.
        quota: what the service bounds: tokens in all active jobs, rows a job, or calls a minute.
        lists_jobs: a job can be found again by its display name. A create whose reply was lost is
            looked for there; without a list it could only be paid twice.
        job_list_days: how long an ended job stays in that list.
        inputs_fence: a create fails once its input is deleted. A holder that was held up for
            longer than its lease is kept from creating by deleting its input.
        input_prefix: prefix of the chosen names of input files.
        batch_method: name under which the service lists batch jobs among a model's calls; empty: it
            lists none.
        max_requests: most requests of a job; None: no limit is documented.
        max_input_bytes: most bytes of an input file.
        max_inline_bytes: most bytes of the requests in a create's body; 0: no inline jobs.
        inline_request_bytes, inline_result_bytes: most bytes of requests and of predicted results
            for which an inline job is chosen by itself.
        result_seconds: how long a result file stays, and counts against the file storage, when the
            service does not delete it.
    """

    price: PriceKind
    quota: QuotaKind
    lists_jobs: bool
    job_list_days: float
    inputs_fence: bool
    input_prefix: str
    batch_method: str
    max_requests: int | None
    max_input_bytes: int
    max_inline_bytes: int
    inline_request_bytes: int
    inline_result_bytes: int
    result_seconds: float

    def __post_init__(self) -> None:
        """Check the figures that other parts rely on.

        Raises:
            ValueError: results would stay for longer than the reservations remember.
        """
        if not 0 <= self.result_seconds <= LONGEST_RESULT_SECONDS:
            raise ValueError(
                f"result_seconds is {self.result_seconds:g}; give 0 to {LONGEST_RESULT_SECONDS:g}"
            )
