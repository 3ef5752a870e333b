"""How long BigQuery is waited for, and how often it is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reembed.warehouse.client_errors import retrying


@dataclass(frozen=True, slots=True)
class Policy:
    """Waits in seconds; `sleep` is given each of them.

    `first` is the wait before a request is sent again and a job asked after, doubled each time;
    `deadline` bounds the repeats of one request. A job is waited for `longest` in all: six hours
    is what BigQuery gives a query or a load
    (https://cloud.google.com/bigquery/quotas#query_jobs, #load_jobs). A read that brings no row
    between `breaks` broken connections fails.
    """

    first: float = 0.5
    deadline: float = 120.0
    longest: float = 6 * 3600.0
    breaks: int = 6
    sleep: Callable[[float], None] = time.sleep

    def retry(self) -> Any:
        """The Google library's policy for a request that may be sent twice."""
        return retrying(self.first, self.deadline)

    def waits(self) -> Iterator[float]:
        """The pauses between two looks at a job, at most ten seconds each, `longest` together."""
        pause, waited = self.first / 2, 0.0
        while waited < self.longest:
            yield pause
            waited += pause
            pause = min(pause * 1.5, 10.0)
