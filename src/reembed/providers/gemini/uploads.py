"""Resumable upload: a failed chunk goes on from the offset that the service committed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from reembed.errors import (
    NameTakenError,
    RemoteNotFoundError,
    ServiceError,
    StorageError,
    TransientError,
)
from reembed.providers.base import RemoteFile
from reembed.providers.gemini.http import Call, GeminiHttp, trusted_url
from reembed.providers.gemini.operations import (
    checked_file_name,
    dump_json,
    one_line,
    parse_file,
    parse_json,
)
from reembed.providers.gemini.retries import RetryPolicy
from reembed.providers.http import HttpResponse

# The vendor's SDK uploads under v1beta whatever API version is set; files are documented there.
_UPLOAD_PATH = "upload/v1beta/files"
# As the vendor's SDK (C); it tries a chunk three times at one offset, never asks how much of it was
# committed, and gives up.
_CHUNK = 8 << 20
_MAX_GRANULARITY = 64 << 20
_MAX_SESSIONS = 3
_NUMBER = re.compile(r"[0-9]{1,18}")
# Statuses that answer an offset that does not fit: asking where to go on mends it.
_MISALIGNED = frozenset({400, 409, 412, 416})


def upload_file(
    http: GeminiHttp, retries: RetryPolicy, path: Path, name: str, mime_type: str
) -> RemoteFile:
    """Send a file under a chosen name, over cut connections and lost sessions.

    Args:
        http: the connection to the service.
        retries: for each step that makes no progress.
        path: a local file that nobody writes to meanwhile.
        name: ``files/<a-z0-9->``.
        mime_type: sent as it is; a ``.jsonl`` has none that could be guessed.

    Raises:
        NameTakenError: the name exists, also when the file under it is ours of an earlier run:
            what it holds cannot be compared, so the caller decides.
        StorageError: the local file cannot be read, or became shorter.
    """
    checked_file_name(name)
    with _opened(path) as source:
        size = os.fstat(source.fileno()).st_size
        upload = _Upload(http, retries, source, size, name, mime_type)
        return upload.run()


class _SessionLostError(Exception):
    """Raised when the service no longer knows the upload session."""


class _Upload:
    """Upload of one file: the session's address, and the committed offset."""

    def __init__(
        self,
        http: GeminiHttp,
        retries: RetryPolicy,
        source: BinaryIO,
        size: int,
        name: str,
        mime_type: str,
    ) -> None:
        self._http, self._retries, self._source = http, retries, source
        self._size, self._name, self._mime_type = size, name, mime_type
        self._url, self._chunk, self._offset, self._aligned = "", _CHUNK, 0, True

    def run(self) -> RemoteFile:
        for _ in range(_MAX_SESSIONS):
            try:
                return self._session()
            except _SessionLostError:
                # The last chunk may have been the lost one: then the file is there already.
                if (found := self._existing()) is not None:
                    return found
        raise TransientError(f"{self._what()}: the service lost {_MAX_SESSIONS} upload sessions")

    def _session(self) -> RemoteFile:
        self._retries.run(self._start)
        furthest = setbacks = 0
        while setbacks < self._retries.attempts:
            # The policy counts anew after each step that returns: its bound is on failures in a
            # row, not on the size of the file.
            finished = self._retries.run(self._step)
            if finished is not None:
                return finished
            setbacks = 0 if self._offset > furthest else setbacks + 1
            furthest = max(furthest, self._offset)
        raise TransientError(f"{self._what()}: does not get beyond {furthest} bytes")

    def _start(self) -> None:
        call = Call(
            what=self._what(),
            method="POST",
            url=f"{self._http.endpoint.base_url}/{_UPLOAD_PATH}",
            headers={
                "content-type": "application/json",
                "x-goog-upload-protocol": "resumable",
                "x-goog-upload-command": "start",
                "x-goog-upload-header-content-length": str(self._size),
                "x-goog-upload-header-content-type": self._mime_type,
            },
            body=dump_json({"file": {"name": self._name, "mimeType": self._mime_type}}),
        )
        answer = self._http.exchange(call)
        if answer.status >= 300:
            raise self._http.refusal(call, answer)
        url = answer.headers.get("x-goog-upload-url", "")
        if not url:
            raise ServiceError(f"{self._what()}: the answer to the start names no upload address")
        self._url = trusted_url(url, self._http.endpoint.base_url)
        self._chunk = _chunk_size(answer.headers.get("x-goog-upload-chunk-granularity", ""))
        self._offset, self._aligned = 0, True

    def _step(self) -> RemoteFile | None:
        """Send a chunk; returns the file after the last one, None when more is to come."""
        if not self._aligned:
            before = self._offset
            if (finished := self._align()) is not None or self._offset > before:
                return finished
        body = self._read()
        last = self._offset + len(body) == self._size
        call = self._command("upload, finalize" if last else "upload", body)
        # Until an answer says otherwise nothing is known of how much arrived.
        self._aligned = False
        answer = self._http.exchange(call)
        if answer.status in _MISALIGNED:
            return self._realign(call, answer)
        if answer.status >= 300:
            raise self._session_refusal(call, answer)
        word = answer.headers.get("x-goog-upload-status", "")
        if word == "final":
            return self._finished(answer)
        if word == "cancelled":
            raise _SessionLostError
        if word != "active" or last:
            shown = self._http.secret.scrub(one_line(word, 40))
            raise TransientError(f"{self._what()}: chunk at {self._offset} answered {shown!r}")
        self._offset, self._aligned = self._offset + len(body), True
        return None

    def _realign(self, call: Call, answer: HttpResponse) -> RemoteFile | None:
        """Go on elsewhere when a chunk was refused for its offset; else it is a real refusal."""
        refused_at = self._offset
        finished = self._align()
        if finished is None and self._offset == refused_at:
            raise self._session_refusal(call, answer)
        return finished

    def _align(self) -> RemoteFile | None:
        """Ask for the committed offset; returns the file when it turns out to be finished."""
        call = self._command("query", b"")
        answer = self._http.exchange(call)
        if answer.status >= 300:
            raise self._session_refusal(call, answer)
        word = answer.headers.get("x-goog-upload-status", "")
        if word == "final":
            return self._finished(answer)
        given = answer.headers.get("x-goog-upload-size-received", "")
        received = int(given) if _NUMBER.fullmatch(given) else -1
        if word == "cancelled" or not 0 <= received <= self._size:
            raise _SessionLostError
        self._offset, self._aligned = received, True
        return None

    def _command(self, command: str, body: bytes) -> Call:
        headers = {"x-goog-upload-command": command}
        if command != "query":
            headers["x-goog-upload-offset"] = str(self._offset)
        # The session's address is the permission; the key has no business there.
        return Call(self._what(), "POST", self._url, headers, body, keyed=False)

    def _session_refusal(self, call: Call, answer: HttpResponse) -> Exception:
        error = self._http.refusal(call, answer)
        return _SessionLostError() if isinstance(error, RemoteNotFoundError) else error

    def _read(self) -> bytes:
        wanted = min(self._chunk, self._size - self._offset)
        self._source.seek(self._offset)
        body = self._source.read(wanted)
        if len(body) != wanted:
            raise StorageError(f"{self._source.name} became shorter while it was uploaded")
        return body

    def _finished(self, answer: HttpResponse) -> RemoteFile:
        if not answer.body.strip():
            # A query after the end need not repeat the file.
            found = self._existing()
            if found is None:
                raise TransientError(f"{self._what()}: finished, but the file is not to be seen")
            return found
        remote = parse_file(parse_json(answer.body, self._what()))
        if remote.name != self._name:
            # The name is how a later runner finds the file again, to use it or to delete it.
            raise ServiceError(f"{self._what()}: stored as {remote.name}, not under this name")
        if remote.size_bytes != self._size:
            raise ServiceError(
                f"{self._what()}: {self._size} bytes were sent and the service holds "
                f"{remote.size_bytes}: delete {remote.name} and upload again"
            )
        return remote

    def _existing(self) -> RemoteFile | None:
        """Look for the file under our name, with our size, after a session of ours."""
        url = self._http.endpoint.url(self._name)
        try:
            raw = self._retries.run(lambda: self._http.read(Call(self._what(), "GET", url)))
        except RemoteNotFoundError:
            return None
        remote = parse_file(raw)
        if remote.size_bytes == self._size:
            return remote
        raise NameTakenError(
            f"{self._what()}: the name holds a file of {remote.size_bytes} bytes, not of "
            f"{self._size}: delete it or choose another name",
            409,
        )

    def _what(self) -> str:
        return f"upload of {self._name}"


def _chunk_size(granularity: str) -> int:
    grain = int(granularity) if _NUMBER.fullmatch(granularity) else 0
    if not 0 < grain <= _MAX_GRANULARITY:
        return _CHUNK
    return max(grain, _CHUNK - _CHUNK % grain)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        source = path.open("rb")
    except OSError as err:
        raise StorageError(f"{path} cannot be read for upload: {err.strerror}") from err
    with source:
        yield source
