"""Both storages behind one fixture."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from reembed.storage.gcs import GcsStorage
from reembed.storage.local import LocalStorage
from support.gcs import GcsServer
from support.place import Place

_numbers = itertools.count()


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
