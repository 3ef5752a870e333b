"""Jobs of one hand-over: each is done once, under an id that follows from the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from reembed.errors import JobFailedError
from reembed.warehouse.base import Job, Warehouse

# https://cloud.google.com/bigquery/docs/error-messages: these may pass by themselves.
_PASSING: Final = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "tableUnavailable"}
)
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class OnceJobs:
    """Jobs whose ids begin with `prefix`, in one location.

    A job that failed keeps its id for good, so the next attempt takes the next number.
    """

    warehouse: Warehouse
    location: str
    prefix: str

    def begun(self, name: str) -> Job | None:
        """The attempt that runs or is done well; None: there is none."""
        _, job = self._newest(name)
        return job

    def run(self, name: str, begin: Callable[[str], Job]) -> Job:
        """Return the job that did what `name` names, begun now if it was not yet.

        Args:
            name: of letters, digits and hyphens.
            begin: begins the job of an id, or joins the one that has it, and waits for its end.

        Raises:
            JobFailedError: it failed; the next call begins another attempt.
        """
        attempt, job = self._newest(name)
        if job is not None and job.state == "DONE":
            return job
        for tried in range(1, _TRIES + 1):
            try:
                return begin(self._id(name, attempt))
            except JobFailedError as err:
                if err.reason not in _PASSING or tried == _TRIES:
                    raise
                attempt += 1
        raise AssertionError("the last try returns or raises")

    def _newest(self, name: str) -> tuple[int, Job | None]:
        attempt = 0
        while (job := self.warehouse.job(self._id(name, attempt), self.location)) is not None:
            if not job.failed:
                return attempt, job
            attempt += 1
        return attempt, None

    def _id(self, name: str, attempt: int) -> str:
        return f"{self.prefix}-{name}-{attempt}"
