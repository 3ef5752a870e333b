"""A create is sent once: what proves that nothing was sent, and what proves nothing."""

from __future__ import annotations

import pickle
import threading

import pytest

from providers.scripted import (
    KEY,
    Act,
    Connection,
    ScriptedServer,
    answer,
    cut_after_request,
    cut_before_body,
    cut_in_answer,
)
from reembed.errors import (
    AccessDeniedError,
    NameTakenError,
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    TransientError,
    UnknownOutcomeError,
)
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.http import Call, Endpoint, GeminiHttp
from reembed.providers.http import BrokenError, NotConnectedError
from reembed.providers.keys import Secret
from support.waiting import DEADLINE

JOB = {"name": "batches/b1", "metadata": {"state": "BATCH_STATE_PENDING"}}


def create(service: GeminiService) -> None:
    service.create_inline("m", "run/s/0/ff", [b'{"request":{}}'], 0)


@pytest.mark.parametrize("cut", [cut_before_body, cut_after_request, cut_in_answer])
def test_a_cut_connection_leaves_the_outcome_unknown(
    server: ScriptedServer, service: GeminiService, cut: Act
) -> None:
    server.then(cut)
    with pytest.raises(UnknownOutcomeError, match="may or may not have happened"):
        create(service)
    assert len(server.requests) == 1


def test_a_connection_closed_at_once_proves_nothing(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(lambda connection: False)
    with pytest.raises(UnknownOutcomeError):
        create(service)
    assert server.beyond == 0


def test_no_answer_in_time_is_unknown(server: ScriptedServer) -> None:
    def never(connection: Connection) -> bool:
        connection.read()
        connection.sock.recv(1)
        return False

    server.then(never)
    with (
        GeminiService(server.url, "v1beta", KEY, 0.2) as service,
        pytest.raises(UnknownOutcomeError, match="ReadTimeout"),
    ):
        create(service)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 499, 500, 502, 503, 504, 303])
def test_a_status_that_is_no_refusal_is_unknown(
    server: ScriptedServer, service: GeminiService, status: int
) -> None:
    server.then(answer(status, {"error": {"code": status, "message": "busy"}}))
    with pytest.raises(UnknownOutcomeError) as caught:
        create(service)
    assert caught.value.code == status
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "INVALID_ARGUMENT", RefusedError),
        (413, "", RefusedError),
        (302, "", RefusedError),
        (401, "UNAUTHENTICATED", AccessDeniedError),
        (403, "PERMISSION_DENIED", AccessDeniedError),
        (404, "NOT_FOUND", RemoteNotFoundError),
        (409, "ALREADY_EXISTS", NameTakenError),
        (409, "ABORTED", UnknownOutcomeError),
        (429, "RESOURCE_EXHAUSTED", QuotaError),
    ],
)
def test_a_refusal_is_named(
    server: ScriptedServer,
    service: GeminiService,
    status: int,
    word: str,
    kind: type[ServiceError],
) -> None:
    server.then(answer(status, {"error": {"code": status, "message": "why", "status": word}}))
    with pytest.raises(ServiceError) as caught:
        create(service)
    assert type(caught.value) is kind
    assert caught.value.code == status
    assert "create run/s/0/ff" in str(caught.value)
    assert "why" in str(caught.value)
    assert len(server.requests) == 1


def test_a_key_that_is_wrong_is_told_by_its_reason(
    server: ScriptedServer, service: GeminiService
) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    server.then(answer(400, {"error": {"code": 400, "message": "no", "details": details}}))
    with pytest.raises(AccessDeniedError):
        create(service)


def test_a_429_is_not_repeated_and_says_when(
    server: ScriptedServer, service: GeminiService, waits: list[float]
) -> None:
    server.then(answer(429, {}, {"retry-after": "40"}))
    with pytest.raises(QuotaError) as caught:
        create(service)
    assert caught.value.retry_after == 40.0
    assert (len(server.requests), waits) == (1, [])


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"name":"elsewhere/1"}'])
def test_an_accepted_create_without_a_name_is_unknown(
    server: ScriptedServer, service: GeminiService, body: bytes
) -> None:
    server.then(answer(200, body))
    with pytest.raises(UnknownOutcomeError, match="accepted, but"):
        create(service)


def test_a_refused_connection_proves_that_nothing_was_sent(closed_port: str) -> None:
    with (
        GeminiService(closed_port, "v1beta", KEY, 2.0) as service,
        pytest.raises(TransientError, match="nothing was sent"),
    ):
        create(service)


def test_an_unknown_host_proves_that_nothing_was_sent() -> None:
    with (
        GeminiService("http://no-such-host.invalid", "v1beta", KEY, 2.0) as service,
        pytest.raises(TransientError, match="nothing was sent"),
    ):
        create(service)


def test_a_failed_tls_handshake_proves_that_nothing_was_sent(server: ScriptedServer) -> None:
    server.then(lambda connection: False)
    with (
        GeminiService(server.url.replace("http:", "https:"), "v1beta", KEY, 2.0) as service,
        pytest.raises(TransientError, match="nothing was sent"),
    ):
        create(service)


def test_each_create_has_a_connection_of_its_own(
    server: ScriptedServer, service: GeminiService
) -> None:
    peers: list[object] = []

    def note(connection: Connection) -> None:
        peers.append(connection.sock.getpeername())
        answer(content=JOB)(connection)

    server.then(note, note, note, note)
    service.get("batches/b1")
    service.get("batches/b1")
    create(service)
    create(service)
    assert peers[0] == peers[1]
    assert len(set(peers)) == 3


def test_a_body_that_takes_too_long_is_not_finished(server: ScriptedServer) -> None:
    received: list[int] = []
    ended = threading.Event()

    def take(connection: Connection) -> bool:
        connection.read_head()
        while got := connection.sock.recv(1 << 16):
            received.append(len(got))
        ended.set()
        return False

    server.then(take)
    ticks = iter([0.0, 1.0, 2.0, 99.0])
    wire = GeminiHttp(Endpoint(server.url, "v1beta", 5.0), Secret(KEY), clock=lambda: next(ticks))
    body = b"x" * (1 << 20)
    with pytest.raises(UnknownOutcomeError, match="131072 of 1048576 bytes were sent in time"):
        wire.exchange_once(Call("create", "POST", f"{server.url}/x", {}, body))
    assert ended.wait(DEADLINE)
    assert 0 < sum(received) < len(body)


def test_an_answer_that_trickles_is_given_up(server: ScriptedServer) -> None:
    def trickle(connection: Connection) -> bool:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
        connection.sock.recv(1)
        return False

    server.then(trickle)
    ticks = iter([0.0, 0.0, 1.0, 999.0])
    wire = GeminiHttp(Endpoint(server.url, "v1beta", 5.0), Secret(KEY), clock=lambda: next(ticks))
    with pytest.raises(UnknownOutcomeError, match="trickles"):
        wire.exchange_once(Call("create", "POST", f"{server.url}/x", {}, b"{}"))


def test_a_refused_create_is_told_even_when_the_body_was_not_taken(
    server: ScriptedServer, service: GeminiService
) -> None:
    def early(connection: Connection) -> None:
        connection.read_head()
        connection.reply(413, b"{}")
        while connection.sock.recv(1 << 16):
            pass

    server.then(early)
    with pytest.raises(RefusedError):
        service.create_inline("m", "d", [b"x" * 1000], 0)


def test_errors_survive_pickling(server: ScriptedServer, service: GeminiService) -> None:
    server.then(answer(429, {}, {"retry-after": "4"}))
    with pytest.raises(QuotaError) as caught:
        create(service)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.code, copy.retry_after, str(copy)) == (429, 4.0, str(caught.value))


def test_only_failures_before_the_request_prove_it_unsent() -> None:
    assert not issubclass(BrokenError, NotConnectedError)
