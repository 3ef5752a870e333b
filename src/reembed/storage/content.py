"""Open the content of a URI: disk, Cloud Storage, web, or inline media of the source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

from reembed.config.source import SourceConfig
from reembed.errors import AlreadyExistsError, RejectError
from reembed.storage.base import Storage
from reembed.storage.https import HttpsRules, fetch
from reembed.storage.names import join

HTTPS = "https://"


@dataclass(frozen=True, slots=True)
class Opened:
    """Stream of bytes and their generation; empty for web pages, which have none."""

    stream: BinaryIO
    generation: str


@dataclass(frozen=True, slots=True)
class ContentReader:
    """Reads the content of URIs.

    `https` None: web pages are refused. `inline_media` is the folder of the run directory with
    media that stood in the source itself (`data:` URIs). Their rows cannot be read again cheaply
    when the job is written, so they are read from there like any other file.
    """

    storage: Storage
    https: HttpsRules | None = None
    inline_media: str = ""

    @classmethod
    def of(cls, source: SourceConfig, storage: Storage, inline_media: str) -> ContentReader:
        """Make the reader of a configuration."""
        rules = HttpsRules(int(source.max_https_mb * 1e6)) if source.https else None
        return cls(storage, rules, inline_media)

    @contextmanager
    def open(self, uri: str, generation: str = "") -> Iterator[Opened]:
        """Open a URI in a generation, or, without one, in the state that it has now.

        Raises:
            ObjectNotFoundError: it is not there, or has another generation by now.
            StorageError: it cannot be read.
            RejectError: a web page that may not be read, or is too large.
        """
        if uri.startswith(HTTPS):
            with self._page(uri) as stream:
                yield Opened(stream, "")
            return
        # Pinned even where none was asked for: the content must be of one state from begin to end.
        state = generation or self.storage.stat(uri).generation
        with self.storage.open(uri, state) as stream:
            yield Opened(stream, state)

    def _page(self, url: str) -> BinaryIO:
        if self.https is None:
            raise RejectError(
                "uri_not_allowed", f"{url}: web pages are read with source.https: true"
            )
        return fetch(url, self.https)

    def keep(self, data: bytes) -> str:
        """Keep content under the name of its SHA-256; return its URI."""
        uri = join(self.inline_media, hashlib.sha256(data).hexdigest())
        try:
            self.storage.create(uri, data)
        except AlreadyExistsError:
            return uri  # the same bytes: the name is their hash
        return uri


def name_of(uri: str) -> str:
    """Return the name that tells a format and a title where the bytes do not."""
    return urlsplit(uri).path if uri.startswith(HTTPS) else uri
