"""What is particular to a disk."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from pathlib import Path

import pytest

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.local import LocalStorage
from reembed.storage.names import TEMPORARY_PREFIX
from reembed.storage.walk import disk_errors
from support.permissions import bound_by_permissions

storage = LocalStorage()
SHARED_MEMORY = Path("/dev/shm")


def other_device(tmp_path: Path) -> bool:
    return SHARED_MEMORY.is_dir() and SHARED_MEMORY.stat().st_dev != tmp_path.stat().st_dev


def test_nothing_temporary_stays(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/a", b"1")
    storage.put(f"{tmp_path}/a", b"2")
    storage.now(f"{tmp_path}/clock")
    (tmp_path / "part").write_bytes(b"3")
    storage.publish(tmp_path / "part", f"{tmp_path}/b")
    with pytest.raises(AlreadyExistsError):
        storage.create(f"{tmp_path}/a", b"4")

    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_half_written_files_of_a_killed_process_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY_PREFIX}1-2-3").write_bytes(b"half")
    storage.create(f"{tmp_path}/whole", b"")

    assert [each.uri for each in storage.list(f"{tmp_path}/")] == [f"{tmp_path}/whole"]


def test_published_file_is_consumed(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"1")
    storage.publish(tmp_path / "part", f"{tmp_path}/out/part")

    assert not (tmp_path / "part").exists()
    assert (tmp_path / "out/part").stat().st_nlink == 1


def test_publishing_counts_as_creation(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"1")
    os.utime(tmp_path / "part", (1, 1))

    made = storage.publish(tmp_path / "part", f"{tmp_path}/out")

    assert abs(made.created - storage.now(f"{tmp_path}/clock")) < 30


def test_publishing_from_another_disk_copies(tmp_path: Path) -> None:
    if not other_device(tmp_path):
        pytest.skip("there is no second file system at /dev/shm")
    part = SHARED_MEMORY / f"reembed-test-{os.getpid()}"
    part.write_bytes(b"far" * 1000)

    storage.publish(part, f"{tmp_path}/out")

    assert storage.read(f"{tmp_path}/out") == b"far" * 1000
    assert not part.exists()


def resident(path: Path) -> float:
    """The share of a file that is in memory (mincore of Linux)."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
        first = ctypes.c_char.from_buffer(mapped)
        size = ctypes.c_size_t(len(mapped))
        told = ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(first)), size, pages)
        del first
    assert told == 0
    return sum(page & 1 for page in pages) / len(pages)


def takes_advice(folder: Path) -> bool:
    """Whether the folder's file system lets go of a file when asked, which tmpfs does not."""
    control = folder / "control"
    with control.open("wb") as file:
        file.write(bytes(1 << 22))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return resident(control) < 0.5


@pytest.mark.parametrize("far", [False, True], ids=["linked", "copied"])
def test_a_published_file_is_let_go_of(tmp_path: Path, far: bool) -> None:
    if (far and not other_device(tmp_path)) or not takes_advice(tmp_path):
        pytest.skip("no second file system at /dev/shm, or one that takes no advice here")
    part = (SHARED_MEMORY if far else tmp_path) / f"reembed-test-{os.getpid()}"
    part.write_bytes(bytes(1 << 22))
    assert resident(part) > 0.9

    storage.publish(part, f"{tmp_path}/out")

    assert resident(tmp_path / "out") < 0.5


def test_a_file_system_that_takes_no_advice_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1")

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "no")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    storage.publish(tmp_path / "a", f"{tmp_path}/out/a")
    monkeypatch.delattr(os, "posix_fadvise")
    storage.publish(tmp_path / "b", f"{tmp_path}/out/b")

    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b"]


def test_generation_is_size_and_modification_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.utime(tmp_path / "a", ns=(0, 1_700_000_000_123_456_789))

    found = storage.stat(f"{tmp_path}/a")

    assert (found.generation, found.checksum) == ("5-1700000000123456789", "")
    assert found.created == pytest.approx(1_700_000_000.123, abs=0.001)


def test_generation_grows_past_a_clock_that_was_set_back(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/a", b"x")
    future = 4_000_000_000 * 10**9
    os.utime(tmp_path / "a", ns=(future, future))

    assert storage.put(f"{tmp_path}/a", b"y").generation == f"1-{future + 1}"


def test_list_goes_through_links_to_folders_once(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/far/a", b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/vectors").symlink_to(tmp_path / "far")
    (tmp_path / "far/again").symlink_to(tmp_path / "run")

    found = [each.uri for each in storage.list(f"{tmp_path}/run/")]

    assert found == [f"{tmp_path}/run/vectors/a"]


def test_list_leaves_out_links_that_lead_nowhere_pipes_and_folders(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    assert list(storage.list(f"{tmp_path}/")) == []


def test_list_stands_files_that_come_and_go(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/x/stays", b"")
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for name in ("a", "b", "sub/c", "sub/d"):
                storage.put(f"{tmp_path}/x/{name}", b"")
                storage.delete(f"{tmp_path}/x/{name}")
            (tmp_path / "x/sub").rmdir()

    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(60):
            assert f"{tmp_path}/x/stays" in [each.uri for each in storage.list(f"{tmp_path}/")]
    finally:
        done.set()
        writer.join()


def test_pipes_and_folders_are_no_objects(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path, tmp_path / "pipe"):
        for look in (storage.read, storage.open, storage.stat):
            with pytest.raises(ObjectNotFoundError):
                look(str(name))


def test_name_through_a_file_is_not_there_and_cannot_be_made(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/file", b"")

    with pytest.raises(ObjectNotFoundError):
        storage.read(f"{tmp_path}/file/below")
    storage.delete(f"{tmp_path}/file/below")
    with pytest.raises(StorageError, match="a part of the path is a file"):
        storage.create(f"{tmp_path}/file/below", b"")


def test_name_of_a_folder_is_taken_and_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(AlreadyExistsError):
        storage.create(f"{tmp_path}/folder", b"")
    with pytest.raises(StorageError, match="it is a folder"):
        storage.put(f"{tmp_path}/folder", b"")
    assert os.listdir(tmp_path) == ["folder"]


def test_long_name_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="shorten it"):
        storage.create(f"{tmp_path}/{'n' * 300}", b"")


def test_no_permission_names_path_and_remedy(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/shut/a", b"1")
    (tmp_path / "shut/a").chmod(0)
    with bound_by_permissions(tmp_path / "shut"):
        for attempt, message in (
            (
                lambda: storage.read(f"{tmp_path}/shut/a"),
                r"shut/a': cannot read: permission denied;",
            ),
            (lambda: storage.create(f"{tmp_path}/b", b""), r"/b'.* denied; give this user"),
            (lambda: storage.delete(f"{tmp_path}/shut/a"), r"shut/a'.* denied; give this user"),
        ):
            with pytest.raises(StorageError, match=message):
                attempt()


def test_folder_that_cannot_be_read_is_an_error_not_a_gap(tmp_path: Path) -> None:
    storage.create(f"{tmp_path}/open/shut/a", b"1")
    (tmp_path / "open/shut").chmod(0)
    message = r"shut': cannot list the folder: permission denied"
    with (
        bound_by_permissions(tmp_path / "open"),
        pytest.raises(StorageError, match=message),
    ):
        list(storage.list(f"{tmp_path}/open/"))
    (tmp_path / "open/shut").chmod(0o755)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (errno.ENOSPC, StorageError, "'/x/y': cannot write: the disk is full; free space"),
        (errno.EDQUOT, StorageError, "quota is used up; free space"),
        (errno.EROFS, StorageError, "read-only; choose another folder"),
        (errno.EOPNOTSUPP, StorageError, "lacks hard links; put the folder on one"),
        (errno.EIO, StorageError, "look at the system's log"),
        (errno.EBUSY, StorageError, "cannot write: Device or resource busy"),
        (errno.ENOENT, ObjectNotFoundError, "no such file"),
        (errno.EEXIST, AlreadyExistsError, "the name is taken"),
    ],
)
def test_errors_of_the_system_name_path_and_remedy(
    code: int, kind: type[StorageError], message: str
) -> None:
    foreign = OSError(code, os.strerror(code))
    with pytest.raises(kind, match=message) as caught, disk_errors("/x/y", "write"):
        raise foreign
    assert caught.value.__cause__ is foreign


@pytest.mark.parametrize("uri", ["relative/a", "", "a"])
def test_relative_paths_are_refused(uri: str) -> None:
    with pytest.raises(StorageError, match="not an absolute path"):
        storage.read(uri)


def test_names_are_reported_in_normal_form(tmp_path: Path) -> None:
    made = storage.create(f"{tmp_path}//x/./y/../a", b"")

    assert made.uri == f"{tmp_path}/x/a"
    assert list(storage.list(f"{tmp_path}/x//")) == [made]
