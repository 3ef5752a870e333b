"""Connections to BigQuery, one pair of clients a process; the policy of waits and retries."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from reembed.bigquery.errors import retrying
from reembed.cloud.credentials import find_credentials, pooled
from reembed.errors import BigQueryDeniedError, BigQueryError


@dataclass(frozen=True, slots=True)
class Policy:
    """Waits in seconds; `sleep` is called with each of them.

    `first` is the wait before a request is sent again, doubled each time; `deadline` bounds the
    repeats of one request. A job is waited for `longest` in all: BigQuery ends a query or a load
    after six hours
    (https://cloud.google.com/bigquery/quotas#query_jobs, #load_jobs). A read fails
    when `breaks` connections in a row broke without bringing a row.
    """

    first: float = 0.5
    deadline: float = 120.0
    longest: float = 6 * 3600.0
    breaks: int = 6
    sleep: Callable[[float], None] = time.sleep

    def retry(self) -> Any:
        """Make the Google library's policy for a request that may be sent twice."""
        return retrying(self.first, self.deadline)

    def waits(self) -> Iterator[float]:
        """Yield the pauses between requests for a job's status: at most 10 s, `longest` in all."""
        pause, waited = self.first / 2, 0.0
        while waited < self.longest:
            yield pause
            waited += pause
            pause = min(pause * 1.5, 10.0)


# Addresses of a local server. The first variable is the Google library's own; it has none for the
# Storage Read API.
REST_VARIABLE: Final = "BIGQUERY_EMULATOR_HOST"
READ_VARIABLE: Final = "REEMBED_BIGQUERY_READ_ENDPOINT"
_POOL: Final = 32
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Connections:
    """Both clients of Google's libraries; threads share them."""

    rest: Any
    read: Any


_made: dict[tuple[str, str, str], Connections] = {}
_lock = threading.Lock()


def connect(project: str) -> Connections:
    """Return this process's clients for a project; a forked process makes its own.

    ``BIGQUERY_EMULATOR_HOST`` (an address) and ``REEMBED_BIGQUERY_READ_ENDPOINT`` (``host:port``)
    name a local server, to which no credentials are sent.

    Raises:
        BigQueryDeniedError: no credentials were found; says what to set.
        BigQueryError: only one of the two variables is set.
    """
    rest, read = os.environ.get(REST_VARIABLE, ""), os.environ.get(READ_VARIABLE, "")
    if bool(rest) != bool(read):
        present, missing = (REST_VARIABLE, READ_VARIABLE)[:: 1 if rest else -1]
        raise BigQueryError(
            f"{present} is set and {missing} is not: set both to use a local server, or neither"
        )
    with _lock:
        if (project, rest, read) not in _made:
            _made[project, rest, read] = (
                _local_server(project, rest, read) if rest else _real(project)
            )
        return _made[project, rest, read]


def rest_client(project: str, address: str, http: Any = None) -> Any:
    """Make a REST client without credentials.

    Args:
        project: the project that pays for jobs.
        address: where the server listens, with or without ``http://``.
        http: a `requests` session that sends everything; None: a new one.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    url = address if "://" in address else f"http://{address}"
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
        _http=http,
    )
    return pooled(client, _POOL)


def read_client(endpoint: str) -> Any:
    """Make a Storage Read client on an unencrypted channel, without credentials."""
    import grpc
    from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import (
        BigQueryReadGrpcTransport,
    )

    # Batches may be larger than gRPC's default limit of 4 MB.
    channel = grpc.insecure_channel(
        endpoint.removeprefix("http://"), options=[("grpc.max_receive_message_length", -1)]
    )
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def _local_server(project: str, rest: str, read: str) -> Connections:
    return Connections(rest_client(project, rest), read_client(read))


def _real(project: str) -> Connections:
    from google.cloud import bigquery
    from google.cloud.bigquery_storage_v1.services.big_query_read import BigQueryReadClient

    credentials = find_credentials(_SCOPE, BigQueryDeniedError)
    rest = bigquery.Client(project=project, credentials=credentials)
    return Connections(pooled(rest, _POOL), BigQueryReadClient(credentials=credentials))


def _after_fork() -> None:
    global _lock
    # Sockets and channels shared with the parent would mix the answers of two processes.
    _lock = threading.Lock()
    _made.clear()


os.register_at_fork(after_in_child=_after_fork)
