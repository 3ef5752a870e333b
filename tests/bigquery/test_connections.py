from __future__ import annotations

from pathlib import Path

import pytest

from reembed.bigquery.base import Read
from reembed.bigquery.client import BigQueryClient
from reembed.bigquery.connections import READ_VARIABLE, REST_VARIABLE, connect
from reembed.bigquery.names import TableName
from reembed.errors import BigQueryDeniedError, BigQueryError
from support.servers import environment_set

T = TableName("my-project", "data", "items")


def test_no_credentials_are_said_with_their_remedy(tmp_path: Path) -> None:
    nowhere = {
        REST_VARIABLE: "",
        READ_VARIABLE: "",
        "GOOGLE_APPLICATION_CREDENTIALS": "",
        "CLOUDSDK_CONFIG": str(tmp_path),
        # Else a server of the cloud's machines is looked for, for seconds.
        "NO_GCE_CHECK": "true",
    }
    with (
        environment_set(nowhere),
        pytest.raises(BigQueryDeniedError, match="no Google credentials: set GOOGLE_APPLICATION"),
    ):
        BigQueryClient("no-credentials").table(T)


@pytest.mark.parametrize("given", [REST_VARIABLE, READ_VARIABLE])
def test_half_a_stand_in_is_refused(given: str) -> None:
    values = {REST_VARIABLE: "", READ_VARIABLE: ""} | {given: "127.0.0.1:1"}
    with environment_set(values), pytest.raises(BigQueryError, match=f"{given} is set and .* not"):
        BigQueryClient("half").read_streams(T, Read())


def test_a_process_has_one_pair_of_clients_for_a_project_and_an_address() -> None:
    with environment_set({REST_VARIABLE: "127.0.0.1:1", READ_VARIABLE: "127.0.0.1:2"}):
        first = connect("one")
        assert connect("one") is first
        assert connect("two") is not first
    with environment_set({REST_VARIABLE: "127.0.0.1:3", READ_VARIABLE: "127.0.0.1:2"}):
        assert connect("one") is not first
