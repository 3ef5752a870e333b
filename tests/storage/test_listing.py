"""Listing by patterns, on disk and in a bucket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reembed.errors import ObjectNotFoundError, StorageError, UsageError
from reembed.storage.listing import list_files, number_items
from reembed.storage.open import open_storage
from reembed.storage.walk import MISSING
from reembed.types import Item, Position
from support.permissions import bound_by_permissions
from support.place import Place

NAMES = [
    "a.txt",
    "b.md",
    "sub/a.txt",
    "sub/deep/c.txt",
    "sub/d[1].txt",
    "sub.x/e.txt",
    ".hidden/f.txt",
    "sub/.g.txt",
    "odd/*.txt",
    "odd/100% #1?.txt",
    "odd/日本 é.txt",
]
NOWHERE = Path("/nowhere")


def filled(place: Place, names: list[str] = NAMES) -> Place:
    for name in names:
        place.storage.put(place.at(name), name.encode())
    return place


def found(place: Place, *patterns: str, exclude: tuple[str, ...] = ()) -> list[str]:
    wanted = [place.at(pattern) for pattern in patterns]
    items = list_files(wanted, open_storage(), NOWHERE, exclude)
    assert [item.key for item in items] == [item.uri for item in items]
    assert [item.position for item in items] == [Position(n) for n in range(len(items))]
    return [item.uri.removeprefix(place.root + "/") for item in items]


VISIBLE = sorted(name for name in NAMES if "/." not in f"/{name}")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["**"], VISIBLE),
        ([""], VISIBLE),
        (["*"], ["a.txt", "b.md"]),
        (["*.txt"], ["a.txt"]),
        (["**/*.txt"], [name for name in VISIBLE if name.endswith(".txt")]),
        (["sub"], ["sub/a.txt", "sub/d[1].txt", "sub/deep/c.txt"]),
        (["sub/"], ["sub/a.txt", "sub/d[1].txt", "sub/deep/c.txt"]),
        (["sub*/"], ["sub.x/e.txt", "sub/a.txt", "sub/d[1].txt", "sub/deep/c.txt"]),
        (["sub/**/c.txt"], ["sub/deep/c.txt"]),
        (["sub/?.txt"], ["sub/a.txt"]),
        (["[ab].*"], ["a.txt", "b.md"]),
        (["[!a].*"], ["b.md"]),
        (["sub/d[1].txt"], ["sub/d[1].txt"]),
        (["sub/d[[]1].txt"], ["sub/d[1].txt"]),
        (["sub/d[[]*"], ["sub/d[1].txt"]),
        (["odd/*.txt"], ["odd/*.txt"]),
        (["odd/[*].txt"], ["odd/*.txt"]),
        (["odd/100% #1?.txt"], ["odd/100% #1?.txt"]),
        (["*/日本*"], ["odd/日本 é.txt"]),
        ([".hidden/*"], [".hidden/f.txt"]),
        ([".hidden"], [".hidden/f.txt"]),
        (["**/.*"], ["sub/.g.txt"]),
        (["sub/.g.txt"], ["sub/.g.txt"]),
        (["b.md", "*", "**/a.txt", "a.txt"], ["a.txt", "b.md", "sub/a.txt"]),
    ],
)
def test_patterns_find_their_files(place: Place, patterns: list[str], expected: list[str]) -> None:
    assert found(filled(place), *patterns) == expected


def test_items_carry_what_the_listing_knows(place: Place) -> None:
    made = place.storage.put(place.at("a"), b"12345")

    (item,) = list_files([place.at("*")], open_storage(), NOWHERE)

    assert item == Item(made.uri, made.uri, Position(0), 5, made.generation, made.checksum)
    assert bool(item.checksum) == made.uri.startswith("gs://")


def test_order_is_that_of_code_points(place: Place) -> None:
    names = ["Z", "a", "a!/x", "a-b", "a.b", "b/a", "e\u0301", "é", "日", "\uffff", "🎻"]

    assert found(filled(place, names[::-1]), "**") == sorted(names)


@pytest.mark.parametrize("pattern", ["*.pdf", "nothing", "nothing/", "nothing/**", "sub/[z]*"])
def test_pattern_that_matches_nothing_is_refused_by_name(place: Place, pattern: str) -> None:
    with pytest.raises(UsageError, match="matches no file") as caught:
        found(filled(place), "**", pattern)
    assert repr(place.at(pattern)) in str(caught.value)


def test_pattern_that_matches_only_folders_says_how_to_go_on(place: Place) -> None:
    with pytest.raises(UsageError, match=r"folders' contents are named by /\*\*"):
        found(filled(place, ["x/y/a.txt"]), "x/*")


def test_no_pattern_is_refused() -> None:
    for patterns in ([], [""]):
        with pytest.raises(UsageError, match="give one, for instance"):
            list_files(patterns, open_storage(), NOWHERE)


def test_excluded_folders_are_not_listed(place: Place) -> None:
    names = ["a", "runs/one/x", "runs/one/y/z", "runs/one.txt", "runs/two"]
    expected = ["a", "runs/one.txt", "runs/two"]
    for exclude in (place.at("runs/one"), place.at("runs/one/")):
        assert found(filled(place, names), "**", exclude=(exclude,)) == expected
    with pytest.raises(UsageError, match=r"nor is what lies in .*runs/one"):
        found(place, "runs/one/x", exclude=(place.at("runs/one"),))


@pytest.mark.parametrize("pattern", ["s3://b/x", "file:///x", "https://x/y"])
def test_other_schemes_are_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="give a local path or gs://"):
        list_files([pattern], open_storage(), NOWHERE)


@pytest.mark.parametrize("pattern", ["gs://", "gs:///x", "gs://b*/x", "gs://-b/x", "gs://b c/x"])
def test_bucket_must_be_written_out(pattern: str) -> None:
    with pytest.raises(UsageError, match="not a Cloud Storage name; give gs://bucket/name"):
        list_files([pattern], open_storage(), NOWHERE)


@pytest.mark.gcs
def test_missing_bucket_is_refused(gcs_place: Place) -> None:
    with pytest.raises(UsageError, match="gs://not-there: no such bucket"):
        list_files(["gs://not-there/**"], gcs_place.storage, NOWHERE)


@pytest.mark.gcs
def test_objects_that_stand_for_folders_are_no_items(gcs_place: Place) -> None:
    filled(gcs_place, ["x/", "x/a", "x/y/", "x//b", "z"])

    assert found(gcs_place, "x") == ["x//b", "x/a"]
    assert found(gcs_place, "x/**", "*") == ["x//b", "x/a", "z"]


@pytest.mark.gcs
def test_object_is_taken_before_the_folder_of_its_name(gcs_place: Place) -> None:
    filled(gcs_place, ["x", "x/a"])

    assert found(gcs_place, "x") == ["x"]
    assert found(gcs_place, "x/") == ["x/a"]


@pytest.mark.gcs
def test_disk_and_bucket_are_listed_together(gcs_place: Place, tmp_path: Path) -> None:
    filled(gcs_place, ["a"])
    (tmp_path / "a").write_bytes(b"")

    items = list_files(["a", gcs_place.at("a")], open_storage(), tmp_path)

    assert [item.key for item in items] == ["a", gcs_place.at("a")]


def keys(base: Path, *patterns: str, exclude: tuple[str, ...] = ()) -> list[str]:
    return [item.key for item in list_files(patterns, open_storage(), base, exclude)]


def test_keys_are_relative_to_the_base_or_absolute(tmp_path: Path) -> None:
    base = tmp_path / "conf [1]*"
    for name in ("in/a", "../out/b"):
        (base / name).parent.mkdir(parents=True)
        (base / name).write_bytes(b"")

    items = list_files(["./in//./*", "../out/**", str(base / "in/a")], open_storage(), base)

    assert [item.key for item in items] == [f"{tmp_path}/out/b", "in/a"]
    assert [item.uri for item in items] == [f"{tmp_path}/out/b", f"{base}/in/a"]
    assert keys(base, ".") == ["in/a"]
    assert keys(base, "**") == ["in/a"]


def test_folder_above_after_a_wildcard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.\. cannot follow a wildcard"):
        keys(tmp_path, "*/../x")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/a").write_bytes(b"1")
    (tmp_path / "link").symlink_to("real/a")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real/deep/up").symlink_to(tmp_path)

    assert keys(tmp_path, "**") == ["folder/a", "link", "real/a"]


def test_link_that_leads_nowhere_is_an_item_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nothing")
    (tmp_path / "self").symlink_to("self")

    for patterns in (["*"], ["gone", "self"]):
        items = list_files(patterns, open_storage(), tmp_path)
        assert [(item.key, item.generation) for item in items] == [
            ("gone", MISSING),
            ("self", MISSING),
        ]
        with pytest.raises(ObjectNotFoundError):
            open_storage().open(items[0].uri, items[0].generation)


def test_run_folder_is_left_out_under_every_name(tmp_path: Path) -> None:
    (tmp_path / "disk/run").mkdir(parents=True)
    (tmp_path / "disk/run/record").write_bytes(b"")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a").write_bytes(b"")
    (tmp_path / "corpus/runs").symlink_to(tmp_path / "disk/run")

    assert keys(tmp_path, "corpus", exclude=(f"{tmp_path}/disk/run",)) == ["corpus/a"]


def test_pipes_and_folders_are_no_items(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "a.txt").write_bytes(b"")

    assert keys(tmp_path, "*.txt") == ["a.txt"]
    with pytest.raises(UsageError, match="matches no file"):
        keys(tmp_path, "pipe.txt")


def test_names_that_are_not_text_are_refused_with_examples(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_bytes(b"")
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")

    with pytest.raises(UsageError, match=r"1 names that are not UTF-8.*caf\\xe9\.txt"):
        keys(tmp_path, "**")


def test_unreadable_folder_is_an_error_unless_it_cannot_match(tmp_path: Path) -> None:
    for name in ("top/open/a", "top/shut/b"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "top/shut").chmod(0)
    with bound_by_permissions(tmp_path / "top"):
        with pytest.raises(StorageError, match="shut': cannot list the folder"):
            keys(tmp_path, "top/**")
        assert keys(tmp_path, "top/o*/**") == ["top/open/a"]
    (tmp_path / "top/shut").chmod(0o755)


def test_two_files_with_one_key_are_refused_with_examples(disk_place: Place) -> None:
    stats = [disk_place.storage.put(disk_place.at(name), b"") for name in ("x/a", "y/a", "y/b")]

    with pytest.raises(UsageError, match=r"1 keys that name two files each.*'a' \(.*x/a.*y/a"):
        number_items(stats, lambda uri: uri.rpartition("/")[2])


def test_listing_does_not_depend_on_the_order_of_patterns(place: Place) -> None:
    filled(place)

    assert found(place, "sub/**", "*", "odd") == found(place, "odd", "*", "sub/**")
