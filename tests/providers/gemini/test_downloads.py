"""Results over a service that cuts and changes its mind: byte-exact, or no file at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.scripted import KEY, Act, Connection, Request, ScriptedServer, answer
from reembed.errors import (
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
    StorageError,
    TransientError,
)
from reembed.providers.base import Job
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.downloads import KeyMask

CONTENT = bytes(range(256)) * 12_000
JOB = Job("batches/b1", "d", "SUCCEEDED", "BATCH_STATE_SUCCEEDED", responses_file="files/batch-r1")


def start_of(request: Request) -> int:
    given = request.headers.get("range", "bytes=0-")
    return int(given.removeprefix("bytes=").removesuffix("-"))


def serve(count: int | None = None, content: bytes = CONTENT, etag: str = "") -> Act:
    """Answer from the asked offset; cut after `count` bytes of the body."""

    def act(connection: Connection) -> bool:
        request = connection.read()
        start = start_of(request)
        rest = content[start:]
        head = f"content-length: {len(rest)}\r\n" + (f"etag: {etag}\r\n" if etag else "")
        if start:
            head += f"content-range: bytes {start}-{len(content) - 1}/{len(content)}\r\n"
        status = "206 Partial" if start else "200 OK"
        connection.send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + rest[:count])
        return count is None

    return act


def whole(connection: Connection) -> None:
    """Answer with the whole file, Range or not."""
    connection.read()
    connection.reply(200, CONTENT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.jsonl"


def assert_whole(path: Path, content: bytes = CONTENT) -> None:
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def assert_nothing(path: Path) -> None:
    assert list(path.parent.iterdir()) == []


def test_a_result_is_streamed(server: ScriptedServer, service: GeminiService, path: Path) -> None:
    server.then(serve())
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("GET", "/v1beta/files/batch-r1:download?alt=media")
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("cut", [0, 1, 100_000, len(CONTENT) - 1])
def test_a_cut_result_goes_on_by_range(
    server: ScriptedServer, service: GeminiService, path: Path, cut: int
) -> None:
    server.then(serve(cut, etag='"v1"'), serve(etag='"v1"'))
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)
    second = server.requests[1].headers
    assert (second.get("range"), second.get("if-range")) == (
        (f"bytes={cut}-", '"v1"') if cut else (None, None)
    )


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(cuts=st.lists(st.integers(0, 90_000), max_size=12))
def test_any_cuts_give_the_same_bytes(
    server: ScriptedServer, service: GeminiService, path: Path, cuts: list[int]
) -> None:
    # Three cuts in a row without a new byte are within the attempts of the fixture.
    moving = [cut for i, cut in enumerate(cuts) if cut or i % 4]
    server.script.clear()
    server.then(*[serve(cut) for cut in moving if cut], serve())
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)


def test_many_cuts_with_progress_cost_no_waiting(
    server: ScriptedServer, service: GeminiService, path: Path, waits: list[float]
) -> None:
    server.then(*[serve(100_000) for _ in range(30)], serve())
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)
    assert waits == []


def test_cuts_without_progress_end(
    server: ScriptedServer, service: GeminiService, path: Path, waits: list[float]
) -> None:
    server.then(serve(5), *[serve(0) for _ in range(4)])
    with pytest.raises(TransientError, match="connection failed"):
        service.fetch(JOB, path)
    assert_nothing(path)
    assert waits == [0.5, 1.0, 2.0]
    assert server.beyond == 0


def test_a_service_that_ignores_range_begins_again(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    server.then(serve(100_000), whole)
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)


def test_a_file_that_changed_begins_again(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    other = CONTENT[:-7]
    server.then(serve(100_000), serve(content=other), serve(content=other))
    assert service.fetch(JOB, path) == len(other)
    assert_whole(path, other)


@pytest.mark.parametrize(
    "given", ["bytes 7-9/10", "bytes 100-2/x", "", "bytes 100000-3071999/*", "rows 1-2/3"]
)
def test_a_wrong_range_begins_again(
    server: ScriptedServer, service: GeminiService, path: Path, given: str
) -> None:
    server.then(serve(100_000), answer(206, b"other bytes", {"content-range": given}), serve())
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)


def test_a_cut_at_the_very_end_of_a_chunked_body(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    def chunked_without_end(connection: Connection) -> bool:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.send(b"%x\r\n%b\r\n" % (len(CONTENT), CONTENT))
        return False

    unsatisfied = {"content-range": f"bytes */{len(CONTENT)}"}
    server.then(chunked_without_end, answer(416, {}, unsatisfied))
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)


def test_a_range_beyond_the_end_begins_again(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    server.then(serve(100_000), answer(416, {}, {"content-range": "bytes */50"}), serve())
    assert service.fetch(JOB, path) == len(CONTENT)
    assert_whole(path)


def test_a_chunked_body_is_whole_at_its_end(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    def chunked(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        connection.send(b"5\r\nhello\r\n0\r\n\r\n")

    server.then(chunked)
    assert service.fetch(JOB, path) == 5
    assert_whole(path, b"hello")


def until_closed(body: bytes) -> Act:
    def act(connection: Connection) -> bool:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        return False

    return act


def test_a_body_without_a_length_is_checked_against_the_file(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    meta = {"name": "files/batch-r1", "sizeBytes": "5"}
    server.then(until_closed(b"hello"), answer(content=meta))
    assert service.fetch(JOB, path) == 5
    assert_whole(path, b"hello")


def test_a_short_body_without_a_length_is_no_result(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    meta = {"name": "files/batch-r1", "sizeBytes": "500"}
    server.then(until_closed(b"hello"), answer(content=meta))
    with pytest.raises(TransientError, match=r"5 bytes came without a length.*holds 500"):
        service.fetch(JOB, path)
    assert_nothing(path)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (404, {}, RemoteNotFoundError),
        (410, {}, RemoteNotFoundError),
        (
            403,
            {"error": {"message": "… access the File x or it may not exist."}},
            RemoteNotFoundError,
        ),
        (400, {}, RefusedError),
        (204, b"", RefusedError),
        (503, {}, TransientError),
        (429, {}, QuotaError),
    ],
)
def test_refusals_leave_nothing(
    server: ScriptedServer,
    service: GeminiService,
    path: Path,
    status: int,
    content: object,
    kind: type[ServiceError],
) -> None:
    server.then(*[answer(status, content) for _ in range(4)])
    with pytest.raises(ServiceError) as caught:
        service.fetch(JOB, path)
    assert type(caught.value) is kind
    assert_nothing(path)


def test_a_compressed_body_is_not_taken(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    server.then(answer(200, b"xx", {"content-encoding": "gzip"}))
    with pytest.raises(ServiceError, match="compressed"):
        service.fetch(JOB, path)


@pytest.mark.parametrize("name", ["files/../secret", "files/a/b", "/etc/passwd", "files/a?x=1"])
def test_a_result_name_that_leads_elsewhere_is_not_asked_for(
    server: ScriptedServer, service: GeminiService, path: Path, name: str
) -> None:
    job = Job("batches/b1", "d", "SUCCEEDED", "", responses_file=name)
    with pytest.raises(ServiceError, match="is no file name"):
        service.fetch(job, path)
    assert server.requests == []


def test_an_earlier_temporary_file_is_not_gone_on_with(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    path.with_name(f"{path.name}.tmp").write_bytes(b"of another job")
    server.then(serve())
    service.fetch(JOB, path)
    assert_whole(path)


class Kept:
    """A receiver that keeps what came since the answer began."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.rewound = 0

    def write(self, piece: bytes) -> None:
        self.pieces.append(piece)

    def rewind(self) -> None:
        self.pieces.clear()
        self.rewound += 1


def test_a_stream_gives_the_bytes_as_they_come(
    server: ScriptedServer, service: GeminiService
) -> None:
    server.then(serve(100_000, etag='"v1"'), serve(etag='"v1"'))
    kept = Kept()
    assert service.stream(JOB, kept) == len(CONTENT)
    assert b"".join(kept.pieces) == CONTENT
    assert max(map(len, kept.pieces)) < len(CONTENT) // 10
    assert kept.rewound == 0


def test_a_stream_that_begins_again_says_so(server: ScriptedServer, service: GeminiService) -> None:
    server.then(serve(100_000), whole)
    kept = Kept()
    assert service.stream(JOB, kept) == len(CONTENT)
    assert b"".join(kept.pieces) == CONTENT
    assert kept.rewound == 1


def test_a_short_stream_does_not_end_well(server: ScriptedServer, service: GeminiService) -> None:
    server.then(serve(5), *[serve(0) for _ in range(4)])
    with pytest.raises(TransientError, match="connection failed"):
        service.stream(JOB, Kept())


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"A", b"b", b"1", b"secret-Key", b"secret-", b"key"]), max_size=12),
    st.integers(1, 14),
    st.sampled_from([("secret-Key",), ("bb", "AbA"), ("1b1",), ()]),
)
def test_a_key_is_covered_wherever_pieces_are_cut(
    words: list[bytes], piece: int, forms: tuple[str, ...]
) -> None:
    data, kept = b"".join(words), Kept()
    mask = KeyMask(kept, forms)
    for at in range(0, len(data), piece):
        mask.write(data[at : at + piece])
    mask.end()
    found = b"".join(kept.pieces)
    assert len(found) == len(data)
    assert not any(form.encode() in found for form in forms)
    assert all(new in (old, ord("*")) for old, new in zip(data, found, strict=True))
    if not any(form.encode() in data for form in forms):
        assert found == data


def test_a_folder_that_is_not_there(
    server: ScriptedServer, service: GeminiService, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        service.fetch(JOB, tmp_path / "none" / "x")


def test_inline_answers_become_lines(service: GeminiService, path: Path) -> None:
    answers = (
        {"metadata": {"key": "k1"}, "response": {"embedding": {"values": [0.1, -2]}}},
        {"error": {"code": 3, "message": "línea\nzwei"}, "metadata": {"key": "k2"}},
        {"metadata": {}, "response": {}},
        {"metadata": {"key": 5}, "response": {}},
        {},
    )
    job = Job("batches/b1", "d", "SUCCEEDED", "", inline_responses=answers)
    written = service.fetch(job, path)
    assert written == path.stat().st_size
    lines = path.read_bytes().splitlines()
    assert lines[0] == b'{"key":"k1","response":{"embedding":{"values":[0.1,-2]}}}'
    assert json.loads(lines[1]) == {"key": "k2", "error": answers[1]["error"]}
    assert [json.loads(line) for line in lines[2:]] == [{"response": {}}, {"response": {}}, {}]


def test_a_listed_inline_job_is_asked_for_its_answers(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    inline = {"inlinedResponses": [{"metadata": {"key": "k"}, "response": {}}]}
    metadata = {"state": "BATCH_STATE_SUCCEEDED", "output": {"inlinedResponses": inline}}
    server.then(answer(content={"name": "batches/b1", "metadata": metadata}))
    assert service.fetch(Job("batches/b1", "d", "SUCCEEDED", ""), path) > 0
    assert path.read_bytes() == b'{"key":"k","response":{}}\n'


def test_a_job_without_a_result_is_named(
    server: ScriptedServer, service: GeminiService, path: Path
) -> None:
    server.then(
        answer(content={"name": "batches/b1", "metadata": {"state": "BATCH_STATE_EXPIRED"}})
    )
    with pytest.raises(RemoteNotFoundError, match="batches/b1 is EXPIRED and names no result"):
        service.fetch(Job("batches/b1", "d", "SUCCEEDED", ""), path)
    assert_nothing(path)
