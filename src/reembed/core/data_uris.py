"""``data:`` URIs: content that stands where its place would (RFC 2397)."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from reembed.errors import RejectError

# A line or a cell is held in memory whole; larger content belongs into an object.
MAX_DATA_BYTES = 20_000_000


def is_data(uri: str) -> bool:
    """Whether a URI holds its content itself."""
    return uri[:5].lower() == "data:"


def decode_data(uri: str) -> bytes:
    """The content of a ``data:`` URI; its media type is not believed, so it is not returned.

    Raises:
        RejectError: ``bad_uri`` where it cannot be read, ``too_large`` above `MAX_DATA_BYTES`.
    """
    head, comma, payload = uri.partition(",")
    if not is_data(uri) or not comma:
        raise RejectError("bad_uri", f"{uri[:40]!r} is no data: URI: a comma parts type and data")
    encoded = head[5:].rpartition(";")[2].strip().lower() == "base64"
    # Four characters hold three bytes; percent escapes only make it shorter.
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
            "bad_uri", f"the base64 of its data: URI is malformed ({err}); encode it anew"
        ) from err


def _too_large(size: int) -> RejectError:
    return RejectError(
        "too_large",
        f"its data: URI holds {size:,} bytes, above the {MAX_DATA_BYTES:,} that are read; name an "
        "object instead",
    )
