"""The local servers that several folders of tests share: one of each in a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from support.bigquery import BigQueryServer, start_bigquery
from support.gcs import GcsServer, start_gcs

# How long an example takes is the machine's affair, and no test asserts it.
settings.register_profile("reembed", deadline=None)
settings.load_profile("reembed")


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """A Cloud Storage server with the bucket ``tests``."""
    with start_gcs(tmp_path_factory.mktemp("gcs")) as server:
        server.make_bucket("tests")
        yield server


@pytest.fixture(scope="session")
def bigquery_server(
    tmp_path_factory: pytest.TempPathFactory, gcs_server: GcsServer
) -> Iterator[BigQueryServer]:
    """A BigQuery server that loads ``gs://`` files from `gcs_server`."""
    folder = tmp_path_factory.mktemp("bigquery")
    with start_bigquery(folder, storage=gcs_server.url) as server:
        yield server
