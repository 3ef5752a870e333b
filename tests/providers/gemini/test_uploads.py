"""Uploads over a service that cuts, forgets and refuses: byte-exact, or an error that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.scripted import Act, Connection, Request, ScriptedServer, answer
from reembed.errors import NameTakenError, RefusedError, ServiceError, StorageError, TransientError
from reembed.providers.gemini.client import GeminiService

CHUNK = 8 << 20
SIZE = 2 * CHUNK + 1000
NAME = "files/in-1"


class Session:
    """The service's side of one resumable upload, and acts that break it."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.held = bytearray()
        self.commands: list[tuple[str, str]] = []

    def start(self, connection: Connection, headers: dict[str, str] | None = None) -> None:
        connection.read()
        self.held.clear()
        url = {"x-goog-upload-url": f"{self.server.url}/session"}
        connection.reply(200, b"", url | (headers or {}))

    def chunk(self, connection: Connection) -> None:
        request = connection.read()
        self._note(request)
        self._keep(request, len(request.body))
        if "finalize" in request.headers["x-goog-upload-command"]:
            connection.reply(200, self.file(), {"x-goog-upload-status": "final"})
        else:
            connection.reply(200, b"", {"x-goog-upload-status": "active"})

    def query(self, connection: Connection) -> None:
        request = connection.read()
        self._note(request)
        assert request.body == b""
        received = {"x-goog-upload-size-received": str(len(self.held))}
        connection.reply(200, b"", {"x-goog-upload-status": "active"} | received)

    def keep_then_cut(self, count: int) -> Act:
        """Take so many bytes of the chunk, then cut the connection without an answer."""

        def act(connection: Connection) -> bool:
            request = connection.read()
            self._note(request)
            self._keep(request, count)
            return False

        return act

    def refuse(self, status: int, headers: dict[str, str] | None = None) -> Act:
        def act(connection: Connection) -> None:
            self._note(connection.read())
            connection.reply(status, b"{}", headers)

        return act

    def file(self) -> bytes:
        return b'{"file":{"name":"%b","sizeBytes":"%d"}}' % (NAME.encode(), len(self.held))

    def _keep(self, request: Request, count: int) -> None:
        assert int(request.headers["x-goog-upload-offset"]) == len(self.held)
        self.held += request.body[:count]

    def _note(self, request: Request) -> None:
        assert "x-goog-api-key" not in request.headers
        headers = request.headers
        self.commands.append(
            (headers["x-goog-upload-command"], headers.get("x-goog-upload-offset", ""))
        )


@pytest.fixture
def session(server: ScriptedServer) -> Session:
    return Session(server)


@pytest.fixture(scope="module")
def content() -> bytes:
    return bytes(range(256)) * (SIZE // 256) + b"!" * (SIZE % 256)


@pytest.fixture
def source(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    return path


def send(service: GeminiService, source: Path) -> int:
    return service.upload(source, NAME, "application/jsonl").size_bytes


def test_a_file_goes_in_chunks(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path, content: bytes
) -> None:
    server.then(session.start, session.chunk, session.chunk, session.chunk)
    assert send(service, source) == SIZE
    assert session.held == content
    assert session.commands == [
        ("upload", "0"),
        ("upload", str(CHUNK)),
        ("upload, finalize", str(2 * CHUNK)),
    ]


def test_an_empty_file_is_finalised_at_once(
    server: ScriptedServer, service: GeminiService, session: Session, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    server.then(session.start, session.chunk)
    assert send(service, empty) == 0
    assert session.commands == [("upload, finalize", "0")]


@pytest.mark.parametrize("committed", [0, 1, 1 << 18, CHUNK])
def test_a_cut_chunk_goes_on_from_the_committed_offset(
    server: ScriptedServer,
    service: GeminiService,
    session: Session,
    source: Path,
    content: bytes,
    committed: int,
) -> None:
    at = CHUNK + committed
    server.then(session.start, session.chunk, session.keep_then_cut(committed), session.query)
    server.then(session.chunk, *[session.chunk] * (2 if at < SIZE - CHUNK else 1))
    assert send(service, source) == SIZE
    assert session.held == content
    assert session.commands[:4] == [
        ("upload", "0"),
        ("upload", str(CHUNK)),
        ("query", ""),
        ("upload, finalize" if SIZE - at <= CHUNK else "upload", str(at)),
    ]


def test_chunks_that_each_get_a_little_further_are_no_failure(
    server: ScriptedServer,
    service: GeminiService,
    session: Session,
    source: Path,
    content: bytes,
    waits: list[float],
) -> None:
    steps = 12
    server.then(session.start)
    for _ in range(steps):
        server.then(session.keep_then_cut(1 << 20), session.query)
    server.then(session.chunk)
    assert steps << 20 < SIZE <= (steps << 20) + CHUNK
    assert send(service, source) == SIZE
    assert session.held == content
    assert max(waits) == waits[0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_chunk_that_was_not_taken_is_asked_about(
    server: ScriptedServer,
    service: GeminiService,
    session: Session,
    source: Path,
    content: bytes,
    status: int,
) -> None:
    server.then(session.start, session.refuse(status), session.query)
    server.then(session.chunk, session.chunk, session.chunk)
    assert send(service, source) == SIZE
    assert session.held == content


def test_a_lost_last_answer_is_found_by_asking(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path, content: bytes
) -> None:
    def already_final(connection: Connection) -> None:
        session._note(connection.read())
        connection.reply(200, b"", {"x-goog-upload-status": "final"})

    server.then(session.start, session.chunk, session.chunk, session.keep_then_cut(1000))
    server.then(already_final, answer(content={"name": NAME, "sizeBytes": str(SIZE)}))
    assert send(service, source) == SIZE
    assert session.held == content
    assert (server.requests[-1].method, server.requests[-1].path) == ("GET", f"/v1beta/{NAME}")


@pytest.mark.parametrize("lost", [404, 410])
def test_a_lost_session_begins_again_under_the_same_name(
    server: ScriptedServer,
    service: GeminiService,
    session: Session,
    source: Path,
    content: bytes,
    lost: int,
) -> None:
    server.then(session.start, session.chunk, session.refuse(lost), answer(404))
    server.then(session.start, session.chunk, session.chunk, session.chunk)
    assert send(service, source) == SIZE
    assert session.held == content
    starts = [r.json() for r in server.requests if r.path == "/upload/v1beta/files"]
    assert [start["file"]["name"] for start in starts] == [NAME, NAME]


def test_a_session_lost_after_its_end_is_not_sent_twice(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    server.then(session.start, session.chunk, session.chunk, session.keep_then_cut(1000))
    server.then(session.refuse(404), answer(content={"name": NAME, "sizeBytes": str(SIZE)}))
    assert send(service, source) == SIZE
    assert [r.path for r in server.requests].count("/upload/v1beta/files") == 1


def test_sessions_that_are_lost_each_time_end(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    for _ in range(3):
        server.then(session.start, session.refuse(404), answer(404))
    with pytest.raises(TransientError, match="lost 3 upload sessions"):
        send(service, source)
    assert server.beyond == 0


def test_a_wrong_offset_is_mended(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path, content: bytes
) -> None:
    def forget_half(connection: Connection) -> None:
        session.refuse(400)(connection)
        del session.held[CHUNK // 2 :]

    server.then(session.start, session.chunk, forget_half, session.query)
    server.then(session.chunk, session.chunk)
    assert send(service, source) == SIZE
    assert session.held == content


def test_a_refusal_of_the_content_is_no_offset(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    server.then(session.start, session.refuse(400), session.query)
    with pytest.raises(RefusedError, match="HTTP 400"):
        send(service, source)
    assert (server.beyond, len(server.requests)) == (0, 3)


def test_a_service_that_never_gets_further_ends(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    server.then(session.start)
    for _ in range(4):
        server.then(session.keep_then_cut(0), session.query)
    with pytest.raises(TransientError, match="connection failed"):
        send(service, source)
    assert [command for command, _ in session.commands].count("upload") == 4


def test_offsets_that_go_in_circles_end(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    def back_to(offset: str) -> Act:
        return session.refuse(
            200, {"x-goog-upload-status": "active", "x-goog-upload-size-received": offset}
        )

    server.then(session.start)
    for _ in range(8):
        server.then(session.refuse(416), back_to("1000"), session.refuse(416), back_to("0"))
    with pytest.raises(TransientError, match="does not get beyond 1000 bytes"):
        send(service, source)


def test_a_name_that_exists_is_the_callers_to_decide(
    server: ScriptedServer, service: GeminiService, source: Path
) -> None:
    server.then(answer(409, {"error": {"status": "ALREADY_EXISTS", "message": "exists"}}))
    with pytest.raises(NameTakenError, match="exists"):
        send(service, source)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/session",
        "https://googleapis.com.evil.example/s",
        "http://storage.googleapis.com/s",
        "file:///etc/passwd",
        "http://127.0.0.1@evil.example/s",
        "http://[::1",
        "/relative",
    ],
)
def test_bytes_go_to_no_foreign_host(
    server: ScriptedServer, service: GeminiService, source: Path, url: str
) -> None:
    server.then(answer(headers={"x-goog-upload-url": url}))
    with pytest.raises(RefusedError, match="named an address"):
        send(service, source)
    assert len(server.requests) == 1


def test_a_start_without_an_address_says_so(
    server: ScriptedServer, service: GeminiService, source: Path
) -> None:
    server.then(answer())
    with pytest.raises(ServiceError, match="names no upload address"):
        send(service, source)


def test_a_file_held_with_another_size_is_an_error(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"12345")
    server.then(
        answer(headers={"x-goog-upload-url": f"{server.url}/s"}),
        answer(
            content={"file": {"name": NAME, "sizeBytes": "4"}},
            headers={"x-goog-upload-status": "final"},
        ),
    )
    with pytest.raises(ServiceError, match="5 bytes were sent and the service holds 4"):
        send(service, source)


def test_a_file_stored_under_another_name_is_an_error(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"12345")
    server.then(
        answer(headers={"x-goog-upload-url": f"{server.url}/s"}),
        answer(
            content={"file": {"name": "files/other", "sizeBytes": "5"}},
            headers={"x-goog-upload-status": "final"},
        ),
    )
    with pytest.raises(ServiceError, match="files/in-1: stored as files/other"):
        send(service, source)


def test_the_granularity_of_the_service_is_kept(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path, content: bytes
) -> None:
    grain = 5 << 20

    def start(connection: Connection) -> None:
        session.start(connection, {"x-goog-upload-chunk-granularity": str(grain)})

    server.then(start, *[session.chunk] * 4)
    assert send(service, source) == SIZE
    assert session.held == content
    assert [int(at) % grain for _, at in session.commands] == [0, 0, 0, 0]


def test_a_local_file_that_is_not_there(service: GeminiService, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nothing\.jsonl cannot be read for upload"):
        send(service, tmp_path / "nothing.jsonl")


def test_a_local_file_that_shrinks_is_an_error(
    server: ScriptedServer, service: GeminiService, session: Session, source: Path
) -> None:
    def shrink(connection: Connection) -> None:
        source.write_bytes(b"short")
        session.start(connection)

    server.then(shrink)
    with pytest.raises(StorageError, match="became shorter"):
        send(service, source)
