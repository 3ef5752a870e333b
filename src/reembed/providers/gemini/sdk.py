"""Vendor's SDK over our own connections, for models and token counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import urllib3
from google import genai
from google.genai import errors, types

from reembed.errors import ServiceError
from reembed.providers.gemini.http import Call, GeminiHttp
from reembed.providers.gemini.operations import dump_json, one_line
from reembed.providers.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
# Of an answer that is whole and decoded these say nothing true any more.
_OF_TRANSFER = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class _Transport(httpx.BaseTransport):
    """Transport of the SDK's requests by `GeminiHttp`.

    The SDK's own connections would follow redirects to any host, with the key.
    """

    def __init__(self, http: GeminiHttp, what: Callable[[], str]) -> None:
        self._http, self._what = http, what

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and give its answer, whole."""
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        call = Call(self._what(), request.method, str(request.url), headers, request.read(), False)
        answer = self._http.exchange(call, redirects=False)
        kept = [(n, v) for n, v in answer.headers.items() if n.lower() not in _OF_TRANSFER]
        return httpx.Response(answer.status, headers=kept, content=answer.body)


class Sdk:
    """Client of the SDK, its errors translated; thread-safe.

    Args:
        http: what its requests are sent by, with the key.
    """

    def __init__(self, http: GeminiHttp) -> None:
        self._http = http
        self._asking = threading.local()
        endpoint = http.endpoint
        options = types.HttpOptions(
            base_url=endpoint.base_url,
            api_version=endpoint.api_version,
            timeout=round(endpoint.timeout * 1000),
            # Its own default for repeating would wait and send beside our policy.
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_client=httpx.Client(transport=_Transport(http, lambda: self._asking.what)),
        )
        # Without the False the environment could turn it to another service.
        self._client = genai.Client(
            vertexai=False, api_key=http.secret.reveal(), http_options=options
        )

    def ask(self, what: str, question: Callable[[genai.Client], T]) -> T:
        """Ask once; `what` names the call in messages.

        Raises:
            ServiceError: in its kinds.
        """
        self._asking.what = what
        try:
            return question(self._client)
        except errors.APIError as err:
            headers = urllib3.HTTPHeaderDict(_headers_of(err))
            answer = HttpResponse(err.code or 0, headers, dump_json(err.details))
            # Not `from err`: its text is the raw answer, which may repeat the key.
            raise self._http.refusal(Call(what, "GET", ""), answer) from None
        except ValueError as err:
            message = self._http.secret.scrub(one_line(str(err)))
            raise ServiceError(f"{what}: the answer cannot be read: {message}") from None


def _headers_of(err: Any) -> Mapping[str, str]:
    return dict(getattr(err.response, "headers", None) or {})
