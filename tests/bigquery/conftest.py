from __future__ import annotations

from collections.abc import Callable

import pytest

from reembed.bigquery.base import BigQuery
from reembed.bigquery.client import BigQueryClient, open_bigquery_client
from reembed.bigquery.connections import Connections, Policy, rest_client
from support.bigquery import PROJECT, BigQueryServer
from support.scripted_http import Answer, ScriptedHttp

Scripted = Callable[..., tuple[BigQueryClient, ScriptedHttp]]


@pytest.fixture
def bigquery(bigquery_server: BigQueryServer) -> BigQuery:
    """The real client on the local server."""
    return open_bigquery_client(PROJECT)


@pytest.fixture
def scripted() -> Scripted:
    """The real client on a transport that answers from a script; nothing is slept."""

    def make(*answers: Answer, policy: Policy | None = None) -> tuple[BigQueryClient, ScriptedHttp]:
        http = ScriptedHttp(*answers)
        rest = rest_client("pays", "http://bigquery.invalid", http.session())
        quick = policy or Policy(first=0.001, deadline=5, sleep=lambda _: None)
        return BigQueryClient("pays", quick, lambda _: Connections(rest, None)), http

    return make
