"""The project's files: what is stored, for how long, and how much room is left."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import string
import threading
from pathlib import Path
from typing import Any

from reembed_emulator.clock import Clock, timestamp
from reembed_emulator.errors import (
    NOT_FOUND,
    ApiError,
    RowError,
    exhausted,
    invalid,
    no_such_file,
)
from reembed_emulator.records import FileRecord
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_ALPHABET = string.ascii_lowercase + string.digits


def new_id(length: int) -> str:
    """Return an id that nobody can guess or has used: the service's names must differ for ever."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Files:
    """Keep uploaded and generated files until they are deleted or expire."""

    def __init__(self, state: StateFolder, clock: Clock, settings: EmulatorSettings) -> None:
        self._state = state
        self._clock = clock
        self._settings = settings
        self._lock = threading.RLock()
        self._files = {record.id: record for record in state.load("files", FileRecord)}

    def check_new_name(self, name: str) -> str:
        """Return the id for a wanted `files/...` name, a new one for an empty name.

        Raises:
            ApiError: 400 for a malformed name, 409 for one that is in use.
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
        """Refuse a file of `size` bytes when the project's storage would overflow (429)."""
        if self.used_bytes() + size > self._settings.file_storage_bytes:
            raise exhausted()

    def used_bytes(self) -> int:
        """Return the bytes of all files that live, generated ones included."""
        with self._lock:
            self.sweep()
            return sum(record.size for record in self._files.values())

    def add(self, source: Path, record: FileRecord) -> FileRecord:
        """Take over the bytes at `source` as a file; the second of two uploads of a name loses."""
        with self._lock:
            # A result may be there already, from before a restart: it is written again.
            if not record.generated and self._live(record.id) is not None:
                raise ApiError(409, f"File {record.name} already exists.")
            os.replace(source, self._state.data("files", record.id, "data"))
            self._state.save("files", record.id, record)
            self._files[record.id] = record
            return record

    def record(
        self, file_id: str, display_name: str, mime_type: str, source: Path, generated: bool = False
    ) -> FileRecord:
        """Describe the bytes at `source` as a file that begins to live now."""
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
        """Return a living file; raise ApiError if there is none."""
        found = self._live(file_id)
        if found is None:
            raise no_such_file(file_id, self._settings.missing_file_code)
        return found

    def path(self, file_id: str) -> Path:
        """Return where the bytes of a file are."""
        return self._state.data("files", file_id, "data")

    def resolve(self, uri: str) -> tuple[bytes, str]:
        """Return bytes and MIME type of a file named by a part's URI.

        Raises:
            RowError: Code 5 for a file that is gone.
        """
        file_id = uri.rsplit("/", 1)[-1]
        found = self._live(file_id)
        if found is None:
            raise RowError(f"The file {uri!r} does not exist or has expired.", NOT_FOUND)
        return self.path(file_id).read_bytes(), found.mime_type

    def newest_first(self) -> list[FileRecord]:
        """Return all living files."""
        with self._lock:
            self.sweep()
            return sorted(self._files.values(), key=lambda file: (-file.created, file.id))

    def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            ApiError: 400 for a name over 40 characters, as result files have; 404 for none.
        """
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
        """Forget a result that nobody is to see."""
        with self._lock:
            if file_id in self._files:
                self._drop(file_id)

    def sweep(self) -> None:
        """Forget the files that have expired."""
        with self._lock:
            now = self._clock.now()
            for record in [file for file in self._files.values() if file.expires <= now]:
                self._drop(record.id)

    def _drop(self, file_id: str) -> None:
        del self._files[file_id]
        self._state.remove("files", file_id, "data")

    def _live(self, file_id: str) -> FileRecord | None:
        with self._lock:
            found = self._files.get(file_id)
            return found if found is not None and found.expires > self._clock.now() else None


def resource(record: FileRecord, base_url: str) -> dict[str, Any]:
    """Return the `File` message of a record."""
    uri = f"{base_url}/v1beta/{record.name}"
    message: dict[str, Any] = {
        "name": record.name,
        "displayName": record.display_name,
        "mimeType": record.mime_type,
        "sizeBytes": str(record.size),
        "createTime": timestamp(record.created),
        "updateTime": timestamp(record.created),
        "expirationTime": timestamp(record.expires),
        "sha256Hash": base64.b64encode(record.sha256.encode()).decode(),
        "uri": uri,
        "state": "ACTIVE",
        "source": "GENERATED" if record.generated else "UPLOADED",
    }
    if record.generated:
        message["downloadUri"] = f"{uri}:download?alt=media"
    return {name: value for name, value in message.items() if value not in ("", "0")}
