"""Both storages behind one fixture, a Cloud Storage server shared by the session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from reembed.storage.gcs import GcsStorage
from reembed.storage.local import LocalStorage
from support.gcs import GcsServer, start_gcs
from support.place import Place

_numbers = itertools.count()


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with start_gcs(tmp_path_factory.mktemp("gcs")) as server:
        server.make_bucket("tests")
        yield server


@pytest.fixture(scope="session")
def gcs_url(gcs_server: GcsServer) -> str:
    return gcs_server.url


@pytest.fixture
def gcs_place(gcs_server: GcsServer) -> Place:
    return Place(GcsStorage(), f"gs://tests/{next(_numbers)}")


@pytest.fixture
def disk_place(tmp_path: Path) -> Place:
    return Place(LocalStorage(), str(tmp_path / "objects"))


@pytest.fixture(params=["disk", pytest.param("gcs", marks=pytest.mark.gcs)])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found
