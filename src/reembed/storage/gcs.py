"""Objects in Cloud Storage: one client a process, retries, create-if-absent by generation."""

from __future__ import annotations

import base64
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import google_crc32c
from google.api_core.exceptions import PreconditionFailed
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from reembed.cloud.credentials import SIGN_IN_AGAIN, find_credentials, pooled
from reembed.cloud.errors import FOREIGN, TRANSIENT_CODES, cause_of, code_of, may_pass
from reembed.errors import AlreadyExistsError, ObjectNotFoundError, StorageError
from reembed.storage.base import Stat
from reembed.storage.names import GS, split_gs
from reembed.storage.ranges import open_ranges

_POOL: Final = 64
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_clients: dict[str, Any] = {}
_lock = threading.Lock()


def client_for(endpoint: str = "") -> Any:
    """Return this process's client; threads share it, a forked process makes its own.

    Args:
        endpoint: address of a local server that asks for no credentials; empty: the one that
            ``STORAGE_EMULATOR_HOST`` names, else the real service.

    Raises:
        StorageError: no credentials were found; says what to set.
    """
    address = endpoint or os.environ.get("STORAGE_EMULATOR_HOST", "")
    if address and "://" not in address:
        address = f"http://{address}"
    with _lock:
        if address not in _clients:
            _clients[address] = _make(address)
        return _clients[address]


def _make(address: str) -> Any:
    import google.cloud.storage as storage
    from google.auth.credentials import AnonymousCredentials

    # Else the library also reads the bucket's description, in threads of its own, to label traces.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    options = {"api_endpoint": address} if address else None
    credentials = AnonymousCredentials() if address else find_credentials(_SCOPE, StorageError)
    # Requests for objects need no project; left to itself, the library searches for one and fails.
    client = storage.Client(project=None, credentials=credentials, client_options=options)
    return pooled(client, _POOL)


def _after_fork() -> None:
    global _lock
    # Two processes that share a socket would read each other's answers.
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_after_fork)


# Connecting, and the longest silence within an answer, in seconds.
TIMEOUT: Final = (10.0, 60.0)
DEADLINE: Final = 90.0
# Operations that need no object to be there: their 404 is about the bucket.
_BUCKET_ONLY: Final = frozenset({"write", "list"})
_FOREIGN: Final = (*FOREIGN, DataCorruption, InvalidResponse)


def is_transient(err: BaseException) -> bool:
    """Tell whether the same request may succeed later."""
    return may_pass(err) or _code(err) in TRANSIENT_CODES


def retrying(on_error: Callable[[Exception], Any] | None = None) -> Retry:
    """Make a retry policy for an idempotent or conditional request.

    Args:
        on_error: called with each error that leads to another attempt.
    """
    return Retry(
        predicate=is_transient,
        initial=0.5,
        maximum=16.0,
        multiplier=2.0,
        timeout=DEADLINE,
        on_error=on_error,
    )


@contextmanager
def gcs_errors(uri: str, doing: str) -> Iterator[None]:
    """Translate errors of the library that are raised in the block.

    Args:
        uri: the object or bucket that the request was about.
        doing: a verb for the message, for instance ``read``.

    Raises:
        ObjectNotFoundError: 404.
        AlreadyExistsError: 412, a condition on the generation was not met.
        StorageError: everything else, with the remedy.
    """
    try:
        yield
    except _FOREIGN as err:
        raise _translated(err, uri, doing) from err


def _translated(err: Exception, uri: str, doing: str) -> StorageError:
    cause = cause_of(err)
    code = _code(cause)
    if code == 404:
        what = "bucket; make it or check its name" if doing in _BUCKET_ONLY else "object or bucket"
        return ObjectNotFoundError(f"{uri}: no such {what} (404)")
    if code == 412:
        return AlreadyExistsError(f"{uri}: the name is taken, or in another generation (412)")
    if code in (401, 403):
        remedy = "grant the account roles/storage.objectUser on the bucket"
        return StorageError(f"{uri}: no permission to {doing} ({code}); {remedy}: {cause}")
    if isinstance(cause, auth.RefreshError):
        return StorageError(f"{uri}: the Google credentials were refused; {SIGN_IN_AGAIN}: {cause}")
    if isinstance(cause, DataCorruption):
        return StorageError(f"{uri}: cannot {doing}: checksums differ; try again: {cause}")
    if is_transient(cause):
        remedy = "check the network, then the same command resumes"
        return StorageError(f"{uri}: cannot {doing}: Cloud Storage fails; {remedy}: {cause}")
    return StorageError(f"{uri}: cannot {doing}: {cause}")


def _code(err: BaseException) -> int:
    return int(err.response.status_code) if isinstance(err, InvalidResponse) else code_of(err)


# A part of a resumable upload, held in memory; the library's own is 100 MiB.
_UPLOAD_CHUNK: Final = 16 << 20
# Above this size the library uploads in a session of several requests.
_SINGLE_REQUEST: Final = 8 << 20
_FIELDS: Final = "items(name,size,timeCreated,generation,crc32c,md5Hash),nextPageToken,prefixes"


@dataclass(frozen=True, slots=True)
class GcsStorage:
    """Cloud Storage behind the `Storage` protocol; holds no client, so it pickles.

    No batch requests are sent: each operation is one request and its retries.

    Args:
        endpoint: address of a local server; empty: ``STORAGE_EMULATOR_HOST``, else the real
            service.
    """

    endpoint: str = ""

    def create(self, uri: str, data: bytes) -> Stat:
        """Write a small object only if its name is free (see `Storage.create`)."""

        def send(blob: Any, retry: Retry) -> None:
            blob.upload_from_string(data, if_generation_match=0, retry=retry, timeout=TIMEOUT)

        return self._send_once(uri, send, lambda _: self.read(uri) == data)

    def put(self, uri: str, data: bytes) -> Stat:
        """Write a small object, replacing what is there (see `Storage.put`)."""
        with gcs_errors(uri, "write"):
            blob = self._blob(uri)
            # Sent twice it leaves the same bytes, so it may be retried without a condition.
            blob.upload_from_string(data, retry=retrying(), timeout=TIMEOUT)
            return _to_stat(uri, blob)

    def publish(self, path: Path, uri: str, *, replace: str | None = None) -> Stat:
        """Upload a file by one conditional request; `path` stays (see `Storage.publish`)."""
        if not path.is_file():
            raise StorageError(f"{str(path)!r}: the file to publish as {uri} is not there")
        condition = 0 if replace is None else _generation(uri, replace)
        if path.stat().st_size > _SINGLE_REQUEST:
            self._refuse_early(uri, replace)

        def send(blob: Any, retry: Retry) -> None:
            blob.chunk_size = _UPLOAD_CHUNK
            blob.upload_from_filename(
                str(path), if_generation_match=condition, retry=retry, timeout=TIMEOUT
            )

        return self._send_once(uri, send, lambda found: found.checksum == _checksum(path))

    def read(self, uri: str) -> bytes:
        """Read a small object, its checksum verified (see `Storage.read`)."""
        with gcs_errors(uri, "read"):
            found = self._blob(uri).download_as_bytes(retry=retrying(), timeout=TIMEOUT)
        return cast(bytes, found)

    def open(self, uri: str, generation: str = "") -> BinaryIO:
        """Open an object in this generation for ranged reads (see `Storage.open`)."""
        with gcs_errors(uri, "read"):
            blob = self._blob(uri)
            blob.reload(retry=retrying(), timeout=TIMEOUT)
        if generation and str(blob.generation) != generation:
            raise ObjectNotFoundError(f"{uri}: changed: {generation} is now {blob.generation}")
        pinned = self._blob(uri, blob.generation)
        if blob.content_encoding == "gzip":
            return _decompressed(uri, pinned)

        def fetch(start: int, end: int) -> bytes:
            with gcs_errors(uri, "read"):
                # The service's checksum is that of the whole object: a range cannot be compared.
                part = pinned.download_as_bytes(
                    start=start, end=end - 1, checksum=None, retry=retrying(), timeout=TIMEOUT
                )
            return cast(bytes, part)

        return open_ranges(fetch, int(blob.size))

    def stat(self, uri: str) -> Stat:
        """Describe one object (see `Storage.stat`)."""
        with gcs_errors(uri, "describe"):
            blob = self._blob(uri)
            blob.reload(retry=retrying(), timeout=TIMEOUT)
            return _to_stat(uri, blob)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Yield the objects whose name starts with `prefix`, page by page (see `Storage.list`).

        The service lists in the order of UTF-8 bytes, which is the order of code points
        (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
        """
        bucket, start = split_gs(prefix)
        before = ""
        with gcs_errors(prefix, "list"):
            blobs = client_for(self.endpoint).list_blobs(
                bucket, prefix=start or None, fields=_FIELDS, retry=retrying(), timeout=TIMEOUT
            )
            for blob in blobs:
                # Readers merge sorted listings: one out of order would hide records.
                if blob.name < before:
                    raise StorageError(f"{prefix}: listed out of order: {blob.name!r}")
                before = blob.name
                yield _to_stat(f"{GS}{bucket}/{blob.name}", blob)

    def delete(self, uri: str) -> None:
        """Delete an object; no error where there is none."""
        try:
            with gcs_errors(uri, "delete"):
                self._blob(uri).delete(retry=retrying(), timeout=TIMEOUT)
        except ObjectNotFoundError:
            return

    def now(self, scratch_uri: str) -> float:
        """Read the service's clock: the creation time of `scratch_uri`, written anew.

        One writer for each scratch name: the service takes about one write a second to a name.
        """
        return self.put(scratch_uri, b"").created

    def _blob(self, uri: str, generation: int | None = None) -> Any:
        bucket, name = split_gs(uri)
        if not name:
            raise StorageError(f"{uri}: a bucket, not an object; give {GS}{bucket}/name")
        return client_for(self.endpoint).bucket(bucket).blob(name, generation=generation)

    def _refuse_early(self, uri: str, replace: str | None) -> None:
        """Refuse a long upload at once that its condition would refuse at the end.

        The condition alone decides: between this look and the end another may write.
        """
        try:
            found = self.stat(uri).generation
        except ObjectNotFoundError:
            found = None
        if found != replace:
            raise AlreadyExistsError(
                f"{uri}: expected {_shown(replace)}, found {_shown(found)}; another was first"
            )

    def _send_once(
        self, uri: str, send: Callable[[Any, Retry], None], is_ours: Callable[[Stat], bool]
    ) -> Stat:
        """Upload under a condition; after a lost answer, tell our own object from another's.

        A conditional upload whose answer was lost is sent again, and then refused (412) because
        the first was taken. Reported as "somebody else was first", it would make a runner give
        up a record that it wrote itself. So the object is compared by its bytes.
        """
        lost: list[Exception] = []
        with gcs_errors(uri, "write"):
            blob = self._blob(uri)
            try:
                send(blob, retrying(lost.append))
            except PreconditionFailed:
                # Without a lost answer another was first, even with equal bytes: only one may win.
                if not lost:
                    raise
                found = self.stat(uri)
                if not is_ours(found):
                    raise
                return found
            return _to_stat(uri, blob)


def _to_stat(uri: str, blob: Any) -> Stat:
    if blob.crc32c:
        checksum = f"crc32c:{blob.crc32c}"
    else:
        checksum = f"md5:{blob.md5_hash}" if blob.md5_hash else ""
    created = blob.time_created.timestamp()
    return Stat(uri, int(blob.size), created, str(blob.generation), checksum)


def _shown(generation: str | None) -> str:
    return "no object" if generation is None else f"generation {generation}"


def _generation(uri: str, text: str) -> int:
    if not text.isdecimal():
        raise StorageError(f"{uri}: {text!r} is not a generation of Cloud Storage; give a number")
    return int(text)


def _checksum(path: Path) -> str:
    total = cast(Any, google_crc32c).Checksum()
    with path.open("rb") as source:
        while block := source.read(1 << 20):
            total.update(block)
    return f"crc32c:{base64.b64encode(total.digest()).decode()}"


def _decompressed(uri: str, blob: Any) -> BinaryIO:
    """Download an object that is stored compressed (``Content-Encoding: gzip``).

    Ranges of it would be ranges of the compressed bytes.
    """
    with gcs_errors(uri, "read"), ExitStack() as undo:
        target = undo.enter_context(tempfile.TemporaryFile())
        blob.download_to_file(target, retry=retrying(), timeout=TIMEOUT)
        target.seek(0)
        undo.pop_all()
    return cast(BinaryIO, target)
