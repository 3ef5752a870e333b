"""Local webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.hooks import Hook, serve_hook


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serve_hook() as served:
        yield served


@pytest.fixture
def elsewhere() -> Iterator[Hook]:
    with serve_hook() as served:
        yield served
