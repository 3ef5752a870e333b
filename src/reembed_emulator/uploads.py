"""Resumable uploads: sessions whose bytes arrive in pieces and outlive a restart."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reembed_emulator.errors import ApiError, invalid
from reembed_emulator.files import Files, new_id
from reembed_emulator.records import FileRecord, UploadRecord
from reembed_emulator.settings import EmulatorSettings
from reembed_emulator.state import StateFolder

GRANULARITY = 256 * 1024


class Uploads:
    """Start uploads, count what has arrived, and turn whole ones into files."""

    def __init__(self, state: StateFolder, files: Files, settings: EmulatorSettings) -> None:
        self._state = state
        self._files = files
        self._settings = settings
        self._lock = threading.RLock()
        self._uploads = {record.id: record for record in state.load("uploads", UploadRecord)}

    def start(self, file: Mapping[str, Any], size: int, mime_type: str) -> UploadRecord:
        """Open a session for the parsed `File` message, of `size` bytes.

        Raises:
            ApiError: 400 for a bad name, size or type, 409 for a name in use, 429 for no room.
        """
        file_id = self._files.check_new_name(file.get("name", ""))
        if size > self._settings.max_upload_bytes:
            raise invalid(
                f"File size {size} exceeds the limit of {self._settings.max_upload_bytes} bytes."
            )
        kind = mime_type or file.get("mime_type", "")
        if not kind:
            raise invalid(
                "The MIME type is missing: send X-Goog-Upload-Header-Content-Type or file.mimeType."
            )
        display_name = file.get("display_name", "")
        if len(display_name) > 512:
            raise invalid(f"file.display_name has {len(display_name)} characters, 512 are allowed")
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
        """Return where the bytes of a session gather."""
        return self._state.data("uploads", upload_id, "part")

    def received(self, record: UploadRecord) -> int:
        """Return how many bytes have arrived."""
        if record.status == "final":
            return record.size
        path = self.part(record.id)
        return path.stat().st_size if path.exists() else 0

    def finalize(self, record: UploadRecord) -> FileRecord:
        """Turn a whole upload into a file.

        Raises:
            ApiError: 400 if bytes are missing, 409 if the name was taken meanwhile, 429 for no
                room.
        """
        arrived = self.received(record)
        if arrived != record.size:
            raise invalid(f"Upload has {arrived} bytes of {record.size} that were declared.")
        path = self.part(record.id)
        described = self._files.record(record.file_id, record.display_name, record.mime_type, path)
        with self._lock:
            self._files.check_room(record.size)
            file = self._files.add(path, described)
            self._save(dataclasses.replace(record, status="final"))
        return file

    def cancel(self, record: UploadRecord) -> None:
        """Give up a session and its bytes."""
        self.part(record.id).unlink(missing_ok=True)
        self._save(dataclasses.replace(record, status="cancelled"))

    def _save(self, record: UploadRecord) -> None:
        with self._lock:
            self._state.save("uploads", record.id, record)
            self._uploads[record.id] = record
