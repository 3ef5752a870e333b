"""The storage is chosen by the scheme, and the slow library imported only when needed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from reembed.errors import UsageError
from reembed.storage.gcs import GcsStorage
from reembed.storage.local import LocalStorage
from reembed.storage.open import AnyStorage, open_storage
from support.place import Place
from support.waiting import DEADLINE


def test_scheme_chooses() -> None:
    assert isinstance(open_storage("/a/b"), LocalStorage)
    assert isinstance(open_storage("gs://b/c"), GcsStorage)
    assert isinstance(open_storage(), AnyStorage)
    with pytest.raises(UsageError, match="cannot read s3://; give a local path or gs://"):
        open_storage("s3://b/c")


def test_one_storage_serves_both(place: Place, tmp_path: Path) -> None:
    both = pickle.loads(pickle.dumps(open_storage()))
    made = both.create(place.at("a"), b"1")
    old = both.put(place.at("b"), b"2").generation
    (tmp_path / "file").write_bytes(b"3")
    new = both.publish(tmp_path / "file", place.at("b"), replace=old)

    assert both.read(place.at("b")) == b"3"
    with both.open(place.at("a"), made.generation) as source:
        assert source.read() == b"1"
    assert both.stat(place.at("a")) == made
    assert list(both.list(place.at(""))) == [made, new]
    assert both.now(place.at("clock")) >= made.created
    both.delete(place.at("a"))
    assert place.at("a") not in [each.uri for each in place.storage.list(place.at(""))]


def test_work_on_a_disk_does_not_import_the_cloud_library(tmp_path: Path) -> None:
    code = (
        "import sys; from reembed.storage.open import open_storage; "
        "from reembed.storage.listing import list_files; "
        f"open_storage().create({str(tmp_path / 'a')!r}, b''); "
        "sys.exit('google.cloud.storage' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=DEADLINE).returncode == 0
