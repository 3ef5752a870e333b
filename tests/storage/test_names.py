"""Names of objects: which storage they belong to, and those that are none."""

from __future__ import annotations

import pytest

from reembed.errors import StorageError, UsageError
from reembed.storage.names import is_gs, is_temporary, is_within, join, local_path, split_gs


def test_names() -> None:
    assert split_gs("gs://b/x//y?#%20") == ("b", "x//y?#%20")
    assert split_gs("gs://b") == ("b", "")
    assert [is_gs(uri) for uri in ("gs://b", "/gs://b", "gs:/b", "a")] == [
        True,
        False,
        False,
        False,
    ]
    assert join("gs://b/", "x", "y") == "gs://b/x/y"
    assert join("/", "x") == "/x"
    assert [is_within(uri, "/a/b/") for uri in ("/a/b", "/a/b/c", "/a/bc")] == [True, True, False]
    assert is_within("/x", "/")
    assert [local_path(uri) for uri in ("//a/./b/", "/a/../b", "/")] == ["/a/b", "/b", "/"]


def test_temporary_names_are_our_own() -> None:
    assert is_temporary(".reembed-tmp-1a")
    assert not is_temporary("a.reembed-tmp-1a")


@pytest.mark.parametrize("uri", ["s3://b/x", "file:///x"])
def test_another_scheme_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="give a local path or gs://"):
        is_gs(uri)


@pytest.mark.parametrize("uri", ["gs://", "gs:///x", "gs://B/x", "gs://-b/x", "/b/x"])
def test_what_has_no_bucket_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="give gs://bucket/name"):
        split_gs(uri)


@pytest.mark.parametrize(("uri", "why"), [("a/b", "not an absolute path"), ("/a\0b", "NUL byte")])
def test_what_is_no_path_is_refused(uri: str, why: str) -> None:
    with pytest.raises(StorageError, match=why):
        local_path(uri)
