"""When reads are repeated, how long the waits are, and what a Retry-After means."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from providers.scripted import (
    ScriptedServer,
    answer,
    cut_after_request,
    cut_before_body,
    cut_in_answer,
)
from reembed.errors import (
    AccessDeniedError,
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    TransientError,
    UnknownOutcomeError,
)
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.retries import RetryPolicy, retry_after


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def policy(waits: list[float], jitter: float = 0.0, **more: float) -> RetryPolicy:
    return RetryPolicy(sleep=waits.append, jitter=lambda: jitter, **more)  # type: ignore[arg-type]


def test_waits_grow_up_to_the_cap(waits: list[float]) -> None:
    errors = [TransientError("x")] * 5
    assert policy(waits, base=1.0, cap=5.0).run(failing(*errors)) == "done"
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_takes_up_to_half(waits: list[float]) -> None:
    policy(waits, jitter=1.0, base=1.0).run(failing(TransientError("x"), TransientError("x")))
    assert waits == [0.5, 1.0]


def test_the_last_error_comes_after_the_attempts(waits: list[float]) -> None:
    errors = [TransientError(str(n)) for n in range(9)]
    with pytest.raises(TransientError, match=r"^2$"):
        policy(waits, attempts=3).run(failing(*errors))
    assert len(waits) == 2


def test_the_total_of_the_waits_is_bounded(waits: list[float]) -> None:
    with pytest.raises(TransientError):
        policy(waits, attempts=99, base=10.0, total=60.0).run(failing(*[TransientError("x")] * 99))
    assert waits == [10.0, 20.0]


def test_a_retry_after_is_kept_to(waits: list[float]) -> None:
    slow = QuotaError("slow down", 429, 17.0)
    assert policy(waits, jitter=0.5, base=1.0).run(failing(slow)) == "done"
    # Never sooner than asked: jitter is added here.
    assert waits == [17.25]


def test_a_retry_after_beyond_the_total_ends_at_once(waits: list[float]) -> None:
    with pytest.raises(QuotaError) as caught:
        policy(waits).run(failing(QuotaError("later", 429, 900.0)))
    assert (waits, caught.value.retry_after) == ([], 900.0)


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("x"),
        AccessDeniedError("x"),
        RemoteNotFoundError("x"),
        UnknownOutcomeError("x"),
        ServiceError("x"),
        ValueError("x"),
    ],
)
def test_what_will_not_get_better_is_not_repeated(error: Exception, waits: list[float]) -> None:
    with pytest.raises(type(error)):
        policy(waits).run(failing(error))
    assert waits == []


def test_the_default_policy_can_be_pickled() -> None:
    copy = pickle.loads(pickle.dumps(RetryPolicy()))
    assert copy == RetryPolicy()
    assert 0 <= copy.jitter() < 1


@pytest.mark.parametrize("cut", [cut_before_body, cut_after_request, cut_in_answer])
def test_a_cut_read_is_repeated(
    server: ScriptedServer, service: GeminiService, waits: list[float], cut: object
) -> None:
    server.then(cut, cut, answer(content={"name": "batches/b"}))  # type: ignore[arg-type]
    assert service.get("batches/b").name == "batches/b"
    assert (len(server.requests), waits) == (3, [0.5, 1.0])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(
    server: ScriptedServer, service: GeminiService, status: int
) -> None:
    server.then(answer(status), answer(content={}))
    assert list(service.list_jobs()) == []
    assert len(server.requests) == 2


def test_the_sdk_does_not_repeat_by_itself(
    server: ScriptedServer, service: GeminiService, waits: list[float]
) -> None:
    server.then(*[answer(503)] * 4)
    with pytest.raises(TransientError, match="model m: HTTP 503"):
        service.model("m")
    assert (len(server.requests), len(waits)) == (4, 3)


def test_a_refused_connection_is_tried_again(closed_port: str, retries: RetryPolicy) -> None:
    with (
        GeminiService(closed_port, "v1beta", "k", 2.0, retries) as service,
        pytest.raises(TransientError, match="NewConnectionError"),
    ):
        service.get("batches/b")


def test_a_paid_online_call_is_not_repeated(server: ScriptedServer, service: GeminiService) -> None:
    server.then(cut_after_request)
    with pytest.raises(TransientError):
        service.embed("m", b"{}")
    assert len(server.requests) == 1


NOW = "Wed, 21 Oct 2026 07:28:00 GMT"
INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"retry-after": "120"}, None, 120.0),
        ({"retry-after": " 0 "}, [INFO], 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:29:30 GMT", "date": NOW}, None, 90.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:00:00 GMT", "date": NOW}, None, 0.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:29:30 GMT"}, None, None),
        ({"retry-after": "soon", "date": NOW}, [INFO], 34.5),
        ({"retry-after": "-5"}, None, None),
        ({}, [{"@type": "other"}, INFO], 34.5),
        ({}, [{"retryDelay": 5}, "x", None], None),
        ({}, {"retryDelay": "5s"}, None),
        ({}, None, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], details: object, seconds: float | None) -> None:
    assert retry_after(HTTPHeaderDict(headers), details) == seconds


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=12))
def test_any_header_is_a_time_or_nothing(given: str, date: str, delay: str) -> None:
    found = retry_after({"retry-after": given, "date": date}, [{"retryDelay": delay}])
    assert found is None or 0 <= found < 1e12
