"""Files of a project and the resumable uploads that become files."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets
import string
import threading
from pathlib import Path

from reembed_emulator.errors import (
    NOT_FOUND,
    ApiError,
    RowError,
    exhausted,
    invalid,
    no_such_file,
)
from reembed_emulator.messages import File
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import Clock, FileRecord, StateFolder, UploadRecord

GRANULARITY = 256 * 1024
_MAX_DISPLAY_NAME = 512
# Confirmed: a client may choose the name of an upload, which makes the upload repeatable.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ALPHABET = string.ascii_lowercase + string.digits


def new_id(length: int) -> str:
    """Return a random id; names of the service are never used twice."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Files:
    """Uploaded and generated files, until they are deleted or expire."""

    def __init__(self, state: StateFolder, clock: Clock, settings: EmulatorSettings) -> None:
        self._state = state
        self._clock = clock
        self._settings = settings
        self._lock = threading.RLock()
        self._files = {record.id: record for record in state.load("files", FileRecord)}

    def check_new_name(self, name: str) -> str:
        """Return the id for a wanted `files/...` name, a new one for an empty name.

        Raises:
            ApiError: 400 for a malformed name, 409 for a name in use.
        """
        if not name:
            return new_id(12)
        file_id = name.removeprefix("files/")
        if not name.startswith("files/") or not _NAME.fullmatch(file_id):
            raise invalid(
                f"* CreateFileRequest.file.name: name must be 'files/' and up to 40 characters of "
                f"a-z, 0-9 and '-', not starting or ending with a dash, got {name!r}"
            )
        if self._live(file_id) is not None:
            raise ApiError(409, f"File {name} already exists.")
        return file_id

    def check_room(self, size: int) -> None:
        """Refuse a file of `size` bytes that would overflow the project's storage (429)."""
        if self.used_bytes() + size > self._settings.file_storage_bytes:
            raise exhausted()

    def used_bytes(self) -> int:
        """Return the bytes of all live files."""
        # Generated files count too (reported): results fill the storage that inputs need.
        with self._lock:
            self.sweep()
            return sum(record.size for record in self._files.values())

    def add(self, source: Path, record: FileRecord) -> FileRecord:
        """Move the bytes at `source` into a file; of two uploads of a name, the second loses."""
        with self._lock:
            # Two uploads may ask for one name before either is complete. A result may exist from
            # before a restart: it is written again.
            if not record.generated and self._live(record.id) is not None:
                raise ApiError(409, f"File {record.name} already exists.")
            os.replace(source, self._state.data("files", record.id, "data"))
            self._state.save("files", record.id, record)
            self._files[record.id] = record
            return record

    def record(
        self, file_id: str, display_name: str, mime_type: str, source: Path, generated: bool = False
    ) -> FileRecord:
        """Return a record for the bytes at `source`, with a life that begins now."""
        now = self._clock.now()
        with source.open("rb") as stream:
            digest = "" if generated else hashlib.file_digest(stream, "sha256").hexdigest()
        return FileRecord(
            id=file_id,
            display_name=display_name,
            mime_type=mime_type,
            size=source.stat().st_size,
            created=now,
            expires=now + self._settings.file_life_hours * 3600,
            sha256=digest,
            generated=generated,
        )

    def get(self, file_id: str) -> FileRecord:
        """Return a live file; raise ApiError if there is none."""
        found = self._live(file_id)
        if found is None:
            raise no_such_file(file_id, self._settings.missing_file_code)
        return found

    def path(self, file_id: str) -> Path:
        """Return the path of the bytes of a file."""
        return self._state.data("files", file_id, "data")

    def resolve(self, uri: str) -> tuple[bytes, str]:
        """Return bytes and MIME type of a file named by a part's URI.

        Raises:
            RowError: Code 5 for a missing file.
        """
        # Only the last segment counts, so that no URI reaches a path outside the state folder.
        file_id = uri.rsplit("/", 1)[-1]
        found = self._live(file_id)
        if found is None:
            raise RowError(f"The file {uri!r} does not exist or has expired.", NOT_FOUND)
        return self.path(file_id).read_bytes(), found.mime_type

    def newest_first(self) -> list[FileRecord]:
        """Return all live files."""
        with self._lock:
            self.sweep()
            return sorted(self._files.values(), key=lambda file: (-file.created, file.id))

    def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            ApiError: 400 for a name over 40 characters, 404 for a missing file.
        """
        # Reported (python-genai #1759): `files.delete` refuses the 42-character names that the
        # service itself gives to result files.
        allowed = _NAME.fullmatch(file_id) or self._settings.result_files_deletable
        if not allowed:
            raise invalid(
                f"* DeleteFileRequest.name: file id must be at most 40 characters, got {file_id!r} "
                f"with {len(file_id)}"
            )
        with self._lock:
            self.get(file_id)
            self._drop(file_id)

    def discard(self, file_id: str) -> None:
        """Remove a result that no client may see."""
        with self._lock:
            if file_id in self._files:
                self._drop(file_id)

    def sweep(self) -> None:
        """Remove expired files."""
        with self._lock:
            now = self._clock.now()
            # 48 hours: confirmed for uploads, reported for results.
            for record in [file for file in self._files.values() if file.expires <= now]:
                self._drop(record.id)

    def _drop(self, file_id: str) -> None:
        del self._files[file_id]
        self._state.remove("files", file_id, "data")

    def _live(self, file_id: str) -> FileRecord | None:
        with self._lock:
            found = self._files.get(file_id)
            return found if found is not None and found.expires > self._clock.now() else None


class Uploads:
    """Upload sessions, whose bytes arrive in pieces and outlive a restart."""

    def __init__(self, state: StateFolder, files: Files, settings: EmulatorSettings) -> None:
        self._state = state
        self._files = files
        self._settings = settings
        self._lock = threading.RLock()
        self._uploads = {record.id: record for record in state.load("uploads", UploadRecord)}

    def start(self, file: File, size: int, mime_type: str) -> UploadRecord:
        """Open a session for a file of `size` bytes.

        Raises:
            ApiError: 400 for a bad name, size or type, 409 for a name in use, 429 for no room.
        """
        file_id = self._files.check_new_name(file.name or "")
        if size > self._settings.max_upload_bytes:
            raise invalid(
                f"File size {size} exceeds the limit of {self._settings.max_upload_bytes} bytes."
            )
        # Confirmed: the service does not guess the type of a .jsonl file.
        kind = mime_type or file.mime_type or ""
        if not kind:
            raise invalid(
                "The MIME type is missing: send X-Goog-Upload-Header-Content-Type or file.mimeType."
            )
        display_name = file.display_name or ""
        if len(display_name) > _MAX_DISPLAY_NAME:
            raise invalid(
                f"file.display_name has {len(display_name)} characters, "
                f"{_MAX_DISPLAY_NAME} are allowed"
            )
        # Reported: the project's storage, 20 GB, is the quota that large runs meet first.
        self._files.check_room(size)
        record = UploadRecord(new_id(40), file_id, display_name, kind, size)
        self.part(record.id).touch()
        self._save(record)
        return record

    def get(self, upload_id: str) -> UploadRecord:
        """Return a session; raise ApiError 404 for an unknown one."""
        found = self._uploads.get(upload_id)
        if found is None:
            raise ApiError(404, f"Upload {upload_id!r} was not found.")
        return found

    def part(self, upload_id: str) -> Path:
        """Return the path of the bytes that have arrived."""
        return self._state.data("uploads", upload_id, "part")

    def received(self, record: UploadRecord) -> int:
        """Return the number of bytes that have arrived."""
        # The size on disk is the count: whatever a killed emulator had written is still there.
        if record.status == "final":
            return record.size
        path = self.part(record.id)
        return path.stat().st_size if path.exists() else 0

    def finalize(self, record: UploadRecord) -> FileRecord:
        """Turn a complete upload into a file.

        Raises:
            ApiError: 400 for missing bytes, 409 for a name taken meanwhile, 429 for no room.
        """
        arrived = self.received(record)
        if arrived != record.size:
            raise invalid(f"Upload has {arrived} bytes of {record.size} that were declared.")
        path = self.part(record.id)
        described = self._files.record(record.file_id, record.display_name, record.mime_type, path)
        with self._lock:
            # Checked at the start too, but uploads that run at once do not see each other there.
            self._files.check_room(record.size)
            file = self._files.add(path, described)
            self._save(dataclasses.replace(record, status="final"))
        return file

    def cancel(self, record: UploadRecord) -> None:
        """Close a session and delete its bytes."""
        self.part(record.id).unlink(missing_ok=True)
        self._save(dataclasses.replace(record, status="cancelled"))

    def _save(self, record: UploadRecord) -> None:
        with self._lock:
            self._state.save("uploads", record.id, record)
            self._uploads[record.id] = record
