"""URIs in manifests and tables: which may be read, made absolute; `data:` URIs decoded."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from reembed.errors import RejectError, UsageError
from reembed.storage.content import HTTPS
from reembed.storage.https import split_https
from reembed.storage.names import GS, SCHEME, split_gs
from reembed.types import ItemPart

# A line or a cell is in memory as a whole; larger content belongs into an object.
MAX_DATA_BYTES = 20_000_000


def is_data(uri: str) -> bool:
    """Tell whether a URI holds its content itself."""
    return uri[:5].lower() == "data:"


def decode_data(uri: str) -> bytes:
    """Decode a ``data:`` URI; its media type is ignored, since the bytes decide, as for files.

    Raises:
        RejectError: ``bad_uri`` where it cannot be read, ``too_large`` above `MAX_DATA_BYTES`.
    """
    head, comma, payload = uri.partition(",")
    if not is_data(uri) or not comma:
        raise RejectError(
            "bad_uri", f"{uri[:40]!r} is not a data: URI: it needs a comma between type and data"
        )
    encoded = head[5:].rpartition(";")[2].strip().lower() == "base64"
    # Checked before decoding, so that a huge URI costs no more memory than it has already. Four
    # characters of base64 hold three bytes; percent escapes only make it shorter.
    if len(payload) > 3 * MAX_DATA_BYTES + 4:
        raise _too_large(len(payload))
    data = unquote_to_bytes(payload)
    if encoded:
        data = _from_base64(data)
    if len(data) > MAX_DATA_BYTES:
        raise _too_large(len(data))
    return data


def _from_base64(data: bytes) -> bytes:
    packed = b"".join(data.split()).rstrip(b"=")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error as err:
        raise RejectError(
            "bad_uri", f"the base64 of its data: URI is malformed ({err}); encode it again"
        ) from err


def _too_large(size: int) -> RejectError:
    return RejectError(
        "too_large",
        f"its data: URI holds {size:,} bytes, above the {MAX_DATA_BYTES:,} that are read; name an "
        "object instead",
    )


@dataclass(frozen=True, slots=True)
class Resolver:
    """Makes URIs absolute and refuses those that may not be read.

    Relative paths start from the folder `base`. `local` False refuses paths: a manifest that
    somebody wrote into a bucket must not choose files of the machine that runs. `https` allows
    web pages.
    """

    base: str
    local: bool = True
    https: bool = False

    def resolve(self, uri: str) -> str:
        """Return the URI to open: absolute path, ``gs://…``, ``https://…``, or ``data:`` as it is.

        Raises:
            RejectError: ``unsupported_uri``, ``uri_not_allowed``, ``bad_uri``.
        """
        if is_data(uri):
            return uri
        scheme = SCHEME.match(uri)
        if scheme is None:
            return self._path(uri)
        if scheme.group(0) == GS:
            return _object(uri)
        if scheme.group(0).lower() == HTTPS:
            return self._page(HTTPS + uri[len(HTTPS) :])
        raise RejectError(
            "unsupported_uri",
            f"{uri[:200]!r}: {scheme.group(0)} is not read; give a path, {GS}…, a data: URI, or "
            f"{HTTPS}… with source.https",
        )

    def parts(self, parts: Iterable[ItemPart]) -> tuple[ItemPart, ...]:
        """Resolve the URIs of parts.

        Raises:
            RejectError: as `resolve`, with the part's number.
        """
        resolved = []
        for number, part in enumerate(parts, 1):
            try:
                resolved.append(ItemPart(uri=self.resolve(part.uri)) if part.uri else part)
            except RejectError as err:
                raise RejectError(err.code, f"part {number}: {err.message}") from err
        return tuple(resolved)

    def _path(self, uri: str) -> str:
        if not self.local:
            raise RejectError(
                "uri_not_allowed",
                f"{uri[:200]!r}: a manifest in Cloud Storage cannot name files of this machine; "
                f"give {GS}…",
            )
        if not uri.strip() or "\0" in uri:
            raise RejectError("bad_uri", f"{uri[:200]!r} is not the path of a file")
        return os.path.normpath(os.path.join(self.base, uri))

    def _page(self, uri: str) -> str:
        if not self.https:
            raise RejectError(
                "uri_not_allowed", f"{uri[:200]}: web pages are read with source.https: true"
            )
        split_https(uri)
        return uri


def _object(uri: str) -> str:
    try:
        _, name = split_gs(uri)
    except UsageError as err:
        raise RejectError("bad_uri", str(err)) from err
    if not name or name.endswith("/"):
        raise RejectError("bad_uri", f"{uri[:200]!r} names no object; give {GS}bucket/name")
    return uri
