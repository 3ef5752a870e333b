from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from reembed.storage.scratch import is_in_memory, scratch_folder, scratch_parent

MOUNTS = r"""/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
tmpfs /tmp tmpfs rw 0 0
tmpfs /run/user\0401 tmpfs rw 0 0
/dev/vdb /tmp/disk xfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("/tmp", True),
        ("/tmp/a/b", True),
        ("/tmpfoo", False),
        ("/tmp/disk/x", False),
        ("/var/tmp", False),
        ("/run/user 1/x", True),
        ("/", False),
    ],
)
def test_files_in_memory_are_told_by_the_nearest_mount(folder: str, found: bool) -> None:
    assert is_in_memory(folder, MOUNTS) is found


def test_a_later_mount_hides_an_earlier_one() -> None:
    assert not is_in_memory("/tmp", MOUNTS + "/dev/vdc /tmp ext4 rw 0 0\n")


def test_the_users_folder_is_taken_as_it_is() -> None:
    assert scratch_parent({"TMPDIR": "/dev/shm"}) is None


HOLD = """
import sys
from reembed.storage.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "requests").write_text("a text of the corpus")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of this test, for other processes too."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold() -> tuple[subprocess.Popen[str], Path]:
    """Another process with its folder, made two hours ago."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    aged(folder)
    return process, folder


def aged(folder: Path) -> None:
    old = time.time() - 7200
    os.utime(folder, (old, old))


def test_a_folder_goes_with_its_block(place: Path) -> None:
    with scratch_folder() as folder:
        assert folder.parent == place
        (folder / "requests").touch()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_one(place: Path) -> None:
    process, left = hold()
    with scratch_folder():
        assert (left / "requests").exists(), "it is held"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert (left / "requests").exists()
    with scratch_folder() as mine:
        assert list(place.iterdir()) == [mine]


def test_nothing_else_is_removed(place: Path) -> None:
    young, other = place / "reembed-scratch-young", place / "reembed-logs-old"
    file, link = place / "reembed-scratch-file", place / "reembed-scratch-link"
    for folder in (young, other):
        folder.mkdir()
    file.touch()
    link.symlink_to(other)
    for path in (other, file):
        aged(path)
    os.utime(link, (0, 0), follow_symlinks=False)
    with scratch_folder():
        assert {young, other, file, link} < set(place.iterdir())
