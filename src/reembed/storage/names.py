"""Names of objects: their storage, their parts, and the temporary names of this tool."""

from __future__ import annotations

import os
import re
from typing import Final

from reembed.errors import StorageError, UsageError

GS: Final = "gs://"
TEMPORARY_PREFIX: Final = ".reembed-tmp-"
SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

# https://cloud.google.com/storage/docs/buckets#naming, lengths left to the service.
_BUCKET: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


def is_gs(uri: str) -> bool:
    """Tell whether `uri` is in Cloud Storage; everything else is a local path.

    Raises:
        UsageError: another scheme, for instance ``s3://`` or ``file://``.
    """
    scheme = SCHEME.match(uri)
    if scheme is None:
        return False
    if scheme.group(1) != "gs":
        raise UsageError(f"{uri}: cannot read {scheme.group(0)}; give a local path or {GS}…")
    return True


def split_gs(uri: str) -> tuple[str, str]:
    """Split ``gs://bucket/name`` into bucket and name; the name may be empty, nothing is decoded.

    Raises:
        UsageError: it has no bucket, or its name is malformed.
    """
    bucket, _, name = uri.removeprefix(GS).partition("/")
    if not uri.startswith(GS) or not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{uri!r}: not a Cloud Storage name; give {GS}bucket/name")
    return bucket, name


def local_path(uri: str) -> str:
    """Return the normal form of an absolute local path: no ``//``, no ``.`` or ``..``.

    Raises:
        StorageError: the path is relative, or holds a NUL byte.
    """
    if not uri.startswith("/"):
        raise StorageError(f"{uri!r}: not an absolute path; a worker has another current folder")
    if "\0" in uri:
        raise StorageError(f"{uri!r}: a path cannot hold a NUL byte; rename it")
    # POSIX keeps a leading double slash, which would give one file two names.
    return "/" + os.path.normpath(uri).lstrip("/")


def join(prefix: str, *parts: str) -> str:
    """Join a folder (a path or ``gs://…``) and names below it with single slashes."""
    return "/".join([prefix.rstrip("/"), *parts])


def is_within(uri: str, folder: str) -> bool:
    """Tell whether `uri` is `folder` or below it; ``/a/bc`` is not within ``/a/b``."""
    stem = folder.rstrip("/")
    return uri == stem or uri.startswith(stem + "/")


def is_temporary(name: str) -> bool:
    """Tell whether the last part of a path names an unfinished file of this tool."""
    return name.startswith(TEMPORARY_PREFIX)
