from __future__ import annotations

import pytest

from reembed.storage.scratch import is_in_memory, scratch_parent

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
