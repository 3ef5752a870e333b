"""The calls on models: list, get, embed one, embed many, count tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator.backend import Backend
from reembed_emulator.embedder import Embedded
from reembed_emulator.errors import ApiError, RowError, invalid, no_such_model
from reembed_emulator.messages import BATCH_EMBED, COUNT_TOKENS, EMBED_REQUEST
from reembed_emulator.models import MODELS, Model
from reembed_emulator.wire import read_body, read_message, reply

MAX_BATCH = 100
_HTTP_OF_RPC = {3: 400, 5: 404}


async def list_models(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with all models."""
    return reply({"models": [model.resource() for model in MODELS.values()]})


async def get_model(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with one model."""
    return reply(_model(names, "getModel").resource())


async def embed(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Embed one content."""
    model = _model(names, "embedContent")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        message = read_message(body, EMBED_REQUEST)
        (done,) = _embed(backend, model, [message])
        return {
            "embedding": {"values": done.values},
            "usageMetadata": {"promptTokenCount": done.tokens, "totalTokenCount": done.tokens},
        }

    return await _in_thread(work)


async def embed_many(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Embed up to 100 requests, whose answers are in their order; one bad one refuses all."""
    model = _model(names, "batchEmbedContents")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        requests = read_message(body, BATCH_EMBED).get("requests", [])
        if not 1 <= len(requests) <= MAX_BATCH:
            raise invalid(
                f"* BatchEmbedContentsRequest.requests: at least 1 and at most {MAX_BATCH} "
                f"requests can be in one batch, got {len(requests)}"
            )
        for request_message in requests:
            if "model" not in request_message:
                raise invalid("* BatchEmbedContentsRequest.requests[].model: is required")
        done = _embed(backend, model, requests)
        return {"embeddings": [{"values": item.values} for item in done]}

    return await _in_thread(work)


async def count(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Count tokens as the emulator bills them; this costs nothing."""
    model = _model(names, "countTokens")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        contents = _contents(body)
        total = sum(
            backend.embedder.count_tokens({"content": content}, model, backend.files.resolve)
            for content in contents
        )
        return {"totalTokens": total}

    return await _in_thread(work)


def _contents(body: bytes) -> Sequence[Mapping[str, Any]]:
    contents: list[Mapping[str, Any]] = read_message(body, COUNT_TOKENS).get("contents", [])
    if not contents:
        raise invalid("* CountTokensRequest.contents: contents is not specified")
    return contents


def _embed(backend: Backend, model: Model, requests: Sequence[Mapping[str, Any]]) -> list[Embedded]:
    for request in requests:
        named = request.get("model", f"models/{model.name}")
        if named != f"models/{model.name}":
            raise invalid(f"model {named!r} is not the model of the URL, 'models/{model.name}'")
    done = backend.embedder.embed(requests, model, backend.files.resolve)
    good: list[Embedded] = []
    for item in done:
        if isinstance(item, RowError):
            raise ApiError(_HTTP_OF_RPC.get(item.code, 500), item.message)
        good.append(item)
    return good


def _model(names: Mapping[str, str], method: str) -> Model:
    model = MODELS.get(names["model"])
    if model is None:
        raise no_such_model(names["model"], method, names["version"])
    return model


async def _in_thread(work: Callable[[], dict[str, Any]]) -> Response:
    return reply(await run_in_threadpool(work))
