"""A walk through a folder, and errors of the system as errors with a remedy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.walk import MISSING, disk_errors, identity, walk


def everything(_: str) -> bool:
    return True


def names(folder: Path, **more: object) -> list[str]:
    found = walk(str(folder), everything, everything, **more)  # type: ignore[arg-type]
    return [os.path.relpath(stat.uri, folder) for stat in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "a/b", "a/c/d", "b/.reembed-tmp-1"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_files_come_in_the_order_of_their_full_paths(folder: Path) -> None:
    assert names(folder) == ["a.txt", "a/b", "a/c/d"]


def test_a_link_back_is_not_followed_in_circles(folder: Path) -> None:
    (folder / "a" / "c" / "up").symlink_to(folder)
    assert names(folder) == ["a.txt", "a/b", "a/c/d"]


def test_a_link_to_nothing_is_there_and_missing(folder: Path) -> None:
    (folder / "lost").symlink_to(folder / "nowhere")
    found = list(walk(str(folder), everything, everything))
    assert [(stat.uri, stat.generation) for stat in found[3:]] == [(f"{folder}/lost", MISSING)]


def test_an_excluded_folder_is_not_entered_under_any_name(folder: Path) -> None:
    (folder / "other").symlink_to(folder / "a")
    excluded = identity(f"{folder}/a")
    assert excluded is not None
    assert names(folder, excluded=frozenset({excluded})) == ["a.txt"]


def test_a_folder_that_is_not_there_is_empty(folder: Path) -> None:
    assert list(walk(f"{folder}/none", everything, everything)) == []
    assert identity(f"{folder}/none") is None


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (FileNotFoundError(), ObjectNotFoundError, "'/x': no such file"),
        (FileExistsError(), AlreadyExistsError, "'/x': the name is taken"),
        (OSError(errno.ENOSPC, "full"), StorageError, "cannot write: the disk is full; free space"),
        (OSError(errno.EBUSY, "busy"), StorageError, os.strerror(errno.EBUSY)),
        (OSError("odd"), StorageError, "cannot write: odd"),
    ],
)
def test_errors_of_the_system_say_what_to_do(
    raised: OSError, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words), disk_errors("/x", "write"):
        raise raised
