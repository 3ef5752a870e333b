"""HTTP of all calls: bounded bodies, API keys, pages, JSON answers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator.errors import ApiError, invalid

Item = TypeVar("Item")

HEADERS = {"x-reembed-emulator": version("reembed")}
# Beyond a limit, this much more is read and thrown away: a client that is still sending does not
# see an answer, but a broken connection.
_DRAINED = 256_000_000


def reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    return Response(
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY),
        status_code=status,
        headers={**HEADERS, **(headers or {})},
        media_type="application/json; charset=UTF-8",
    )


def refusal(err: ApiError) -> Response:
    """Return the answer for an error."""
    return reply(err.body(), err.code, err.headers)


def base_url(request: Request) -> str:
    """Return the URL of the emulator as the client wrote it, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def check_key(request: Request, expected: str | None) -> None:
    """Check the API key in `x-goog-api-key` or `?key=`.

    Raises:
        ApiError: 403 without a key, 400 for a wrong one; as the service does.
    """
    key = request.headers.get("x-goog-api-key") or request.query_params.get("key") or ""
    if not key:
        raise ApiError(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API.",
        )
    if expected is not None and key != expected:
        detail = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }
        raise ApiError(400, "API key not valid. Please pass a valid API key.", (detail,))


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; raise ApiError 400 if it is larger than `limit` bytes."""
    blocks, size = [], 0
    async for block in request.stream():
        size += len(block)
        if size <= limit:
            blocks.append(block)
        elif size > limit + _DRAINED:
            break
    if size > limit:
        raise invalid(f"Request payload size exceeds the limit: {limit} bytes.")
    return b"".join(blocks)


def read_page(
    request: Request,
    items: Sequence[Item],
    key: Callable[[Item], list[Any]],
    sizes: tuple[int, int],
) -> tuple[list[Item], str]:
    """Return one page of `items`, and the token of the next page ("" after the last).

    The token names the last item shown rather than a position, so that items created or deleted
    between two pages neither repeat nor hide another.

    Args:
        request: With `pageSize` and `pageToken`.
        items: All items, sorted by `key`.
        key: The sort key: a list of numbers and strings.
        sizes: Default and largest size of a page.

    Raises:
        ApiError: 400 for a bad size or token.
    """
    default, most = sizes
    try:
        size = int(request.query_params.get("pageSize") or default)
        token = request.query_params.get("pageToken")
        after = orjson.loads(base64.urlsafe_b64decode(token)) if token else None
    except ValueError as err:
        raise invalid("page_size must be a number, and page_token one that a list gave") from err
    if size < 0:
        raise invalid(f"page_size {size} must not be negative")
    size = min(size or default, most)
    left = [item for item in items if after is None or key(item) > after]
    page = left[:size]
    if len(left) <= size:
        return page, ""
    return page, base64.urlsafe_b64encode(orjson.dumps(key(page[-1]))).decode()
