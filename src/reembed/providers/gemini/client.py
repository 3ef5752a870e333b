"""Client of the Gemini batch service: each method of `BatchService` as REST calls.

Jobs, files, results and the online vector go over plain REST: the vendor's SDK drops parts of the
Operation, never asks for a committed offset, cannot resume a download, follows redirects with
the key, and rebuilds an online request instead of sending the bytes that a job would send. Models
and token counts are the SDK's, over a connection of ours, so that auth and versions are the
vendor's where nothing is lost by it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from reembed.config.schema import ServiceConfig
from reembed.errors import (
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    TransientError,
    UnknownOutcomeError,
)
from reembed.providers.base import AnswerReceiver, Job, MinimalService, ModelInfo, RemoteFile
from reembed.providers.gemini.downloads import stream_file, stream_inline
from reembed.providers.gemini.http import Call, Endpoint, GeminiHttp
from reembed.providers.gemini.operations import (
    checked_file_name,
    checked_job_name,
    dump_json,
    one_line,
    parse_file,
    parse_json,
    parse_operation,
    parse_vector,
)
from reembed.providers.gemini.retries import RetryPolicy
from reembed.providers.gemini.uploads import upload_file
from reembed.providers.http import HttpResponse
from reembed.providers.keys import Secret, is_loopback, resolve_base_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from google import genai

    from reembed.providers.gemini.sdk import Sdk

T = TypeVar("T")

_MODEL_NAME = re.compile(r"(?:models/)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PAGE_SIZE = 100
_MAX_PAGES = 10_000


def open_service(
    settings: ServiceConfig, api_key: str, environ: Mapping[str, str] = os.environ
) -> GeminiService:
    """Open the service that a configuration names; nothing is sent yet.

    Raises:
        UsageError: the key or the base URL cannot be one.
    """
    base_url = resolve_base_url(settings.base_url, environ)
    secret = Secret(api_key, not is_loopback(base_url), settings.api_key_secret)
    return GeminiService(base_url, settings.api_version, secret, settings.timeout_seconds)


class GeminiService(MinimalService):
    """Client of Gemini's batch jobs; see `BatchService` for what each method promises.

    Thread-safe. A pickle holds no key and no connection: where it is loaded, the key is read from
    the environment and connections are opened anew.

    Args:
        base_url: scheme, host and port; a path in front of the version is kept.
        api_version: for instance ``v1beta``.
        key: the API key.
        timeout: seconds for each connect, read and write, and for all of a create's sending.
        retries: how calls that are free to repeat are repeated.
    """

    def __init__(
        self,
        base_url: str,
        api_version: str,
        key: Secret | str,
        timeout: float,
        retries: RetryPolicy | None = None,
    ) -> None:
        secret = key if isinstance(key, Secret) else Secret(key, not is_loopback(base_url))
        endpoint = Endpoint(base_url.rstrip("/"), api_version, timeout)
        self._start(GeminiHttp(endpoint, secret), retries or RetryPolicy())

    def _start(self, http: GeminiHttp, retries: RetryPolicy) -> None:
        self._http, self._retries = http, retries
        self._sdk_lock = threading.Lock()
        self._sdk: Sdk | None = None

    def __getstate__(self) -> tuple[GeminiHttp, RetryPolicy]:
        return self._http, self._retries

    def __setstate__(self, state: tuple[GeminiHttp, RetryPolicy]) -> None:
        self._start(*state)

    def __repr__(self) -> str:
        return f"GeminiService({self._http!r})"

    def __enter__(self) -> GeminiService:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        self._http.close()

    def upload(self, path: Path, name: str, mime_type: str) -> RemoteFile:
        """Send a local file under the chosen name; cut connections go on where they stopped.

        Raises:
            NameTakenError: the name exists. It may be this very content, of an earlier run or of
                a start whose answer was lost; the caller decides.
        """
        return upload_file(self._http, self._retries, path, name, mime_type)

    def create_from_file(self, model: str, display_name: str, file_name: str, priority: int) -> Job:
        """Create a job over an uploaded JSONL file. Sent once, never repeated."""
        config = b'{"fileName":%b}' % dump_json(checked_file_name(file_name))
        return self._create(model, display_name, config, priority)

    def create_inline(
        self, model: str, display_name: str, requests: Sequence[bytes], priority: int
    ) -> Job:
        """Create a job of requests in the body, joined as they are. Sent once, never repeated."""
        config = b'{"requests":{"requests":[%b]}}' % b",".join(requests)
        return self._create(model, display_name, config, priority)

    def get(self, name: str) -> Job:
        """Read one job, by ``batches/…``; terminal inline jobs carry their responses."""
        return parse_operation(self._read(self._job_call("get", "GET", name)))

    def list_jobs(self) -> Iterator[Job]:
        """Yield all jobs that the service still lists, newest first, over all pages.

        Reads every page before the first job comes: no order is documented, and a reader that
        stops early at an older job must not miss a newer one. Inline answers are left out.
        """
        jobs: dict[str, Job] = {}
        for raw in self._pages("batches", "operations"):
            job = dataclasses.replace(parse_operation(raw), inline_responses=None)
            jobs.setdefault(job.name, job)
        # Without the Z, a time with a fraction sorts behind the same second without one.
        yield from sorted(
            jobs.values(), key=lambda job: job.create_time.removesuffix("Z"), reverse=True
        )

    def cancel(self, name: str) -> None:
        """Ask for the job's end; best effort, free to repeat."""
        self._read(self._job_call("cancel", "POST", name, ":cancel"))

    def delete(self, name: str) -> None:
        """Remove the job's record; a repeat after a cut answer may raise RemoteNotFoundError."""
        self._read(self._job_call("delete", "DELETE", name))

    def stream(self, job: Job, receiver: AnswerReceiver) -> int:
        """Pass a finished job's answers on as JSON lines, as they come; returns the bytes."""
        if not _has_result(job):
            # A list leaves inline answers out (C), and a create's reply comes before them.
            job = self.get(job.name)
        if job.responses_file:
            return stream_file(self._http, self._retries, job.responses_file, receiver)
        if job.inline_responses is not None:
            return stream_inline(job, receiver)
        raise RemoteNotFoundError(
            f"{one_line(job.name)} is {job.state} and names no result: neither a file nor answers"
        )

    def delete_file(self, name: str) -> None:
        """Delete a file; a repeat after a cut answer may raise RemoteNotFoundError."""
        self._read(self._call(f"delete {name}", "DELETE", checked_file_name(name)))

    def list_files(self) -> Iterator[RemoteFile]:
        """Yield all files of the project, over all pages."""
        yield from map(parse_file, self._pages("files", "files"))

    def model(self, name: str) -> ModelInfo:
        """Describe a model, by its bare name."""
        found = self._by_sdk(f"model {name}", lambda sdk: sdk.models.get(model=_model_path(name)))
        if not found.name:
            raise ServiceError(f"model {name}: the answer names no model")
        return ModelInfo(
            name=found.name,
            input_token_limit=found.input_token_limit or 0,
            methods=tuple(found.supported_actions or ()),
        )

    def count_tokens(self, model: str, text: str) -> int:
        """Count the tokens of a text as the service does (free of charge)."""
        found = self._by_sdk(
            f"token count by {model}",
            lambda sdk: sdk.models.count_tokens(model=_model_path(model), contents=text),
        )
        if found.total_tokens is None:
            raise ServiceError(f"token count by {model}: the answer holds no totalTokens")
        return found.total_tokens

    def embed(self, model: str, request: bytes) -> list[float]:
        """Embed one content by the online call; sent once, since it is paid.

        Raises:
            TransientError: no vector came; it may have been paid.
        """
        path = f"{_model_path(model)}:embedContent"
        return parse_vector(self._http.read(self._call(f"embed by {model}", "POST", path, request)))

    def _create(self, model: str, display_name: str, config: bytes, priority: int) -> Job:
        # There is no client token (C): the display name is all by which a lost job is found again.
        # int64 travels as text; 0 is the default and left out.
        ranked = b',"priority":"%d"' % priority if priority else b""
        name = dump_json(display_name)
        body = b'{"batch":{"displayName":%b%b,"inputConfig":%b}}' % (name, ranked, config)
        path = f"{_model_path(model)}:asyncBatchEmbedContent"
        call = self._call(f"create {one_line(display_name, 120)}", "POST", path, body)
        return self._created(call, self._http.exchange_once(call))

    def _created(self, call: Call, answer: HttpResponse) -> Job:
        if answer.status >= 300:
            raise self._create_refusal(call, answer)
        try:
            return parse_operation(parse_json(answer.body, call.what))
        except ServiceError as err:
            # It was accepted, so there is a job: only its name did not arrive.
            raise UnknownOutcomeError(
                f"{call.what}: accepted, but {err.message}", answer.status
            ) from err

    def _create_refusal(self, call: Call, answer: HttpResponse) -> ServiceError:
        error = self._http.refusal(call, answer)
        # Two sends are two billed jobs (C), and users were billed twice after a timeout (R).
        # A 5xx is no refusal: 502 and 504 come from proxies that had passed the request on, and
        # 500 and 503 may stand for a job that was made before its answer was lost. 408, 409
        # ABORTED and 499 are as unsure; 303 means that it was done. A job bought twice costs
        # money, a scan for it costs a call.
        if isinstance(error, TransientError) or answer.status == 303:
            return UnknownOutcomeError(error.message, error.code, error.retry_after)
        return error

    def _call(self, what: str, method: str, path: str, body: bytes = b"") -> Call:
        headers = {"content-type": "application/json"} if body else {}
        return Call(what, method, self._http.endpoint.url(path), headers, body)

    def _job_call(self, verb: str, method: str, name: str, suffix: str = "") -> Call:
        return self._call(f"{verb} {name}", method, f"{checked_job_name(name)}{suffix}")

    def _read(self, call: Call) -> dict[str, Any]:
        return self._retries.run(lambda: self._http.read(call))

    def _pages(self, path: str, field: str) -> Iterator[dict[str, Any]]:
        token, seen = "", set[str]()
        while len(seen) < _MAX_PAGES:
            query = {"pageSize": str(_PAGE_SIZE)} | ({"pageToken": token} if token else {})
            page = self._read(self._call(f"list {path}", "GET", f"{path}?{urlencode(query)}"))
            entries = page.get(field, [])
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                # Passing over what cannot be read could hide the very job that is looked for.
                raise ServiceError(f"list {path}: {field} is not a list of objects")
            yield from entries
            token = page.get("nextPageToken") or ""
            if not token:
                return
            if not isinstance(token, str) or token in seen:
                raise ServiceError(f"list {path}: the page token {one_line(repr(token), 80)} loops")
            seen.add(token)
        raise ServiceError(f"list {path}: more than {_MAX_PAGES} pages")

    def _by_sdk(self, what: str, question: Callable[[genai.Client], T]) -> T:
        # Imported here: it takes most of a second, and few commands need it.
        from reembed.providers.gemini.sdk import Sdk

        with self._sdk_lock:
            sdk = self._sdk = self._sdk or Sdk(self._http)
        return self._retries.run(lambda: sdk.ask(what, question))


def _model_path(name: str) -> str:
    if not _MODEL_NAME.fullmatch(name):
        raise RefusedError(f"{one_line(repr(name), 160)} is no model name")
    return name if name.startswith("models/") else f"models/{name}"


def _has_result(job: Job) -> bool:
    return bool(job.responses_file) or job.inline_responses is not None
