"""What every storage promises, on disk and on Cloud Storage alike."""

from __future__ import annotations

import pickle
import random
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from support.place import Place
from support.racing import race_processes, race_threads

ODD_NAMES = [
    "two words.txt",
    "*.txt",
    "what?.txt",
    "a[1].txt",
    "a#b.txt",
    "100%25.txt",
    "a%2Fb.txt",
    "a+b&c=d.txt",
    "quo'te\".txt",
    "back\\slash.txt",
    "übung/größe.txt",
    "日本/東京.txt",
    "🎻.txt",
    "e\u0301.txt",
    "-rf",
    ".hidden/.name",
]


def test_created_object_reads_back_and_stat_agrees(place: Place) -> None:
    made = place.storage.create(place.at("deep/er/a.txt"), b"bytes")

    assert place.storage.read(place.at("deep/er/a.txt")) == b"bytes"
    assert place.storage.stat(place.at("deep/er/a.txt")) == made
    assert list(place.storage.list(place.at(""))) == [made]
    assert (made.uri, made.size) == (place.at("deep/er/a.txt"), 5)


def test_second_create_is_refused_even_with_the_same_bytes(place: Place) -> None:
    first = place.storage.create(place.at("a"), b"one")

    for data in (b"one", b"two"):
        with pytest.raises(AlreadyExistsError, match="the name is taken"):
            place.storage.create(place.at("a"), data)
    assert place.storage.read(place.at("a")) == b"one"
    assert place.storage.stat(place.at("a")) == first


def test_one_thread_wins_each_race_and_its_bytes_stand(place: Place) -> None:
    for turn in range(5):
        uri = place.at(f"race/{turn}")
        winners = race_threads(12, lambda n, uri=uri: place.storage.create(uri, b"%d" % n * 999))
        assert len(winners) == 1
        assert place.storage.read(uri) == b"%d" % winners[0] * 999


def test_one_process_wins_each_race(place: Place) -> None:
    uris = [place.at(f"race/{turn}") for turn in range(12)]

    winners = race_processes(3, place.storage, uris)

    assert [len(each) for each in winners] == [1] * len(uris)
    assert [place.storage.read(uri) for uri in uris] == [b"%d" % each[0] for each in winners]


def test_put_replaces_and_no_generation_repeats(place: Place) -> None:
    seen = [place.storage.put(place.at("p"), b"%03d" % n).generation for n in range(20)]

    assert len(set(seen)) == 20
    assert place.storage.read(place.at("p")) == b"019"
    assert place.storage.stat(place.at("p")).generation == seen[-1]


@pytest.mark.parametrize("size", [0, 1, 20 << 20], ids=["empty", "one", "20MB"])
def test_published_file_appears_whole(place: Place, tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "part").write_bytes(content)

    made = place.storage.publish(tmp_path / "part", place.at("parts/p-1"))

    assert made == place.storage.stat(place.at("parts/p-1"))
    assert made.size == size
    assert place.storage.read(place.at("parts/p-1")) == content


@pytest.mark.parametrize("size", [10, 9 << 20], ids=["small", "9MB"])
def test_publish_refuses_a_taken_name_and_keeps_the_file(
    place: Place, tmp_path: Path, size: int
) -> None:
    place.storage.create(place.at("part"), b"first")
    (tmp_path / "mine").write_bytes(b"2" * size)

    with pytest.raises(AlreadyExistsError):
        place.storage.publish(tmp_path / "mine", place.at("part"))

    assert place.storage.read(place.at("part")) == b"first"
    assert (tmp_path / "mine").stat().st_size == size


@pytest.mark.parametrize("size", [10, 9 << 20], ids=["small", "9MB"])
def test_publish_replaces_only_the_generation_it_names(
    place: Place, tmp_path: Path, size: int
) -> None:
    old = place.storage.create(place.at("part"), b"a" * 10).generation
    (tmp_path / "new").write_bytes(b"b" * size)
    new = place.storage.publish(tmp_path / "new", place.at("part"), replace=old).generation
    (tmp_path / "late").write_bytes(b"c" * size)

    with pytest.raises(AlreadyExistsError):
        place.storage.publish(tmp_path / "late", place.at("part"), replace=old)

    assert new != old
    assert place.storage.read(place.at("part")) == b"b" * size


def test_publish_cannot_replace_what_is_gone(place: Place, tmp_path: Path) -> None:
    old = place.storage.create(place.at("part"), b"a").generation
    place.storage.delete(place.at("part"))
    (tmp_path / "new").write_bytes(b"b")

    with pytest.raises(AlreadyExistsError):
        place.storage.publish(tmp_path / "new", place.at("part"), replace=old)


def test_publish_of_a_missing_file_names_it(place: Place, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.*is not there"):
        place.storage.publish(tmp_path / "nowhere", place.at("part"))


def test_one_publisher_wins_a_race(place: Place, tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / str(number)).write_bytes(b"%d" % number * 5000)

    winners = race_threads(8, lambda n: place.storage.publish(tmp_path / str(n), place.at("p")))

    assert len(winners) == 1
    assert place.storage.read(place.at("p")) == b"%d" % winners[0] * 5000


def test_one_replacer_wins_a_race(place: Place, tmp_path: Path) -> None:
    old = place.storage.create(place.at("p"), b"old").generation
    for number in range(8):
        (tmp_path / str(number)).write_bytes(b"%d" % number * 5000)

    winners = race_threads(
        8, lambda n: place.storage.publish(tmp_path / str(n), place.at("p"), replace=old)
    )

    assert len(winners) == 1
    assert place.storage.read(place.at("p")) == b"%d" % winners[0] * 5000


def test_readers_never_see_half_an_object(place: Place) -> None:
    size, turns = 1 << 20, 12
    place.storage.put(place.at("p"), b"\0" * size)
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(place.storage.read(place.at("p")))

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(1, turns):
        place.storage.put(place.at("p"), bytes([turn]) * size)
    done.set()
    reader.join()

    assert seen
    assert all(len(each) == size and each.count(each[:1]) == size for each in seen)


def test_missing_objects_are_named_and_deleting_them_is_no_error(place: Place) -> None:
    for look in (place.storage.read, place.storage.open, place.storage.stat):
        with pytest.raises(ObjectNotFoundError, match="not/here"):
            look(place.at("not/here"))
    place.storage.delete(place.at("not/here"))
    assert list(place.storage.list(place.at("not/"))) == []


def test_deleted_object_is_gone_and_its_name_free(place: Place) -> None:
    place.storage.create(place.at("a"), b"1")
    place.storage.delete(place.at("a"))

    assert list(place.storage.list(place.at(""))) == []
    place.storage.create(place.at("a"), b"2")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_everywhere(place: Place, tmp_path: Path, name: str) -> None:
    uri = place.at(name)
    made = place.storage.create(uri, name.encode())
    (tmp_path / "file").write_bytes(b"published")
    place.storage.publish(tmp_path / "file", uri + "+")

    assert place.storage.read(uri) == name.encode()
    with place.storage.open(uri, made.generation) as source:
        assert source.read() == name.encode()
    assert [each.uri for each in place.storage.list(uri)] == [uri, uri + "+"]
    place.storage.delete(uri)
    assert [each.uri for each in place.storage.list(place.at(""))] == [uri + "+"]


def test_list_is_a_string_prefix_sorted_by_code_points(place: Place) -> None:
    names = ["a", "a b", "a!/x", "a.b", "a/b", "a/b/c", "ab", "B", "é", "e", "日", "🎻", "\uffff"]
    for name in names:
        # A disk cannot hold a file "a" beside a folder "a".
        place.storage.put(place.at(f"{name}.f"), b"")
    uris = sorted(place.at(f"{name}.f") for name in names)

    for prefix in ("", "a", "a/", "a/b", "a.", "é", "z", "a/b/c.f", "a/b/c.f/"):
        found = [each.uri for each in place.storage.list(place.at(prefix))]
        assert found == [uri for uri in uris if uri.startswith(place.at(prefix))]


def test_list_shows_what_stat_shows(place: Place) -> None:
    made = [place.storage.put(place.at(f"n/{n:04}"), b"x" * n) for n in range(120)]

    assert list(place.storage.list(place.at("n/"))) == made


def test_big_object_reads_by_ranges(place: Place, tmp_path: Path) -> None:
    content = random.Random(7).randbytes(20 << 20)
    (tmp_path / "big").write_bytes(content)
    place.storage.publish(tmp_path / "big", place.at("big"))
    choose = random.Random(8)

    with place.storage.open(place.at("big")) as source:
        for _ in range(25):
            start = choose.randrange(len(content))
            length = choose.choice([1, 100, 70_000, 5 << 20])
            assert source.seek(start) == start
            assert source.read(length) == content[start : start + length]
        assert source.seek(-10, 2) == len(content) - 10
        assert source.read() == content[-10:]
        assert source.read(5) == b""
        source.seek(len(content) + 99)
        assert source.read(5) == b""
        source.seek(0)
        assert source.read() == content


def test_empty_object_opens_and_reads_as_nothing(place: Place) -> None:
    place.storage.create(place.at("empty"), b"")

    with place.storage.open(place.at("empty")) as source:
        assert source.read(10) == b""
        assert source.read() == b""
    assert place.storage.read(place.at("empty")) == b""


def test_open_refuses_another_generation(place: Place) -> None:
    old = place.storage.put(place.at("a"), b"one").generation
    new = place.storage.put(place.at("a"), b"two").generation

    with pytest.raises(ObjectNotFoundError, match=f"changed: {old} is now {new}"):
        place.storage.open(place.at("a"), old)
    with place.storage.open(place.at("a"), new) as source:
        assert source.read() == b"two"


def test_clock_is_that_of_the_records(place: Place) -> None:
    times = [place.storage.now(place.at("clock"))]
    times.append(place.storage.create(place.at("record"), b"").created)
    times.append(place.storage.now(place.at("clock")))

    assert all(before <= after for before, after in pairwise(times))
    assert times[2] - times[0] < 30


def test_storage_travels_to_other_processes(place: Place) -> None:
    place.storage.create(place.at("a"), b"1")

    assert pickle.loads(pickle.dumps(place.storage)).read(place.at("a")) == b"1"
