"""Calls on models: list, get, embed one, embed many, count tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reembed_emulator.backend import Backend
from reembed_emulator.embedder import Embedded
from reembed_emulator.errors import (
    INVALID_ARGUMENT,
    NOT_FOUND,
    ApiError,
    RowError,
    invalid,
    no_such_model,
)
from reembed_emulator.http import read_body, reply
from reembed_emulator.messages import BatchEmbed, Content, CountTokens, EmbedRequest, read_message
from reembed_emulator.models import MODELS, Model

# Confirmed: more requests in one synchronous call are refused.
MAX_BATCH = 100
_HTTP_OF_RPC = {INVALID_ARGUMENT: 400, NOT_FOUND: 404}


async def list_models(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with all models."""
    return reply({"models": [model.message() for model in MODELS.values()]})


async def get_model(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Answer with one model."""
    return reply(_model(names, "getModel").message())


async def embed(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Embed one content."""
    model = _model(names, "embedContent")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        # Confirmed: all parts of a content give one fused vector.
        (done,) = _embed(backend, model, [read_message(body, EmbedRequest)])
        return {
            "embedding": {"values": done.values},
            "usageMetadata": {"promptTokenCount": done.tokens, "totalTokenCount": done.tokens},
        }

    return await _in_thread(work)


async def embed_many(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Embed up to 100 requests and answer in their order; one bad request refuses all."""
    model = _model(names, "batchEmbedContents")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        requests = read_message(body, BatchEmbed).requests or []
        if not 1 <= len(requests) <= MAX_BATCH:
            raise invalid(
                f"* BatchEmbedContentsRequest.requests: at least 1 and at most {MAX_BATCH} "
                f"requests can be in one batch, got {len(requests)}"
            )
        if any(one.model is None for one in requests):
            raise invalid("* BatchEmbedContentsRequest.requests[].model: is required")
        done = _embed(backend, model, requests)
        return {"embeddings": [{"values": item.values} for item in done]}

    return await _in_thread(work)


async def count(backend: Backend, request: Request, names: Mapping[str, str]) -> Response:
    """Count tokens as the emulator bills them; the call is free."""
    model = _model(names, "countTokens")
    body = await read_body(request, backend.settings.max_inline_bytes)

    def work() -> dict[str, Any]:
        requests = [EmbedRequest(content=content) for content in _contents(body)]
        counts = (
            backend.embedder.count_tokens(one, model, backend.files.resolve) for one in requests
        )
        return {"totalTokens": sum(counts)}

    return await _in_thread(work)


def _contents(body: bytes) -> Sequence[Content]:
    contents = read_message(body, CountTokens).contents
    if not contents:
        raise invalid("* CountTokensRequest.contents: contents is not specified")
    return contents


def _embed(backend: Backend, model: Model, requests: Sequence[EmbedRequest]) -> list[Embedded]:
    for request in requests:
        if request.model is not None and request.model != f"models/{model.name}":
            raise invalid(
                f"model {request.model!r} is not the model of the URL, 'models/{model.name}'"
            )
    embedded: list[Embedded] = []
    for item in backend.embedder.embed(requests, model, backend.files.resolve):
        if isinstance(item, RowError):
            raise ApiError(_HTTP_OF_RPC.get(item.code, 500), item.message)
        embedded.append(item)
    return embedded


def _model(names: Mapping[str, str], method: str) -> Model:
    model = MODELS.get(names["model"])
    if model is None:
        raise no_such_model(names["model"], method, names["version"])
    return model


async def _in_thread(work: Callable[[], dict[str, Any]]) -> Response:
    return reply(await run_in_threadpool(work))
