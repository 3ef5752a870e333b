"""Results as a stream: resumed by Range after a cut, and never short."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reembed.errors import RefusedError, ServiceError, TransientError
from reembed.providers.base import AnswerReceiver, Job
from reembed.providers.gemini.http import Call, GeminiHttp
from reembed.providers.gemini.operations import (
    answer_lines,
    checked_file_name,
    one_line,
    parse_file,
)
from reembed.providers.gemini.retries import RetryPolicy
from reembed.providers.http import HttpResponse, OpenResponse

# A result of some GB over a bad line; a cut that brought nothing new is a failed try instead.
_MAX_CUTS = 200
_SHOWN_BODY = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_LENGTH = re.compile(r"[0-9]{1,18}")
# Characters that answers are full of: digits, and the letters of their fields.
_USUAL = frozenset(
    b'0123456789.,:+-[]{}"eE keyresponsembdingvaluestokenCountusageMetadataerrorcodestatusmessage'
)
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,18})")


def stream_inline(job: Job, receiver: AnswerReceiver) -> int:
    """Pass a job's inline answers on as JSON lines; returns the bytes."""
    size = 0
    for line in answer_lines(job.inline_responses or ()):
        receiver.write(line)
        size += len(line)
    return size


def stream_file(http: GeminiHttp, retries: RetryPolicy, name: str, receiver: AnswerReceiver) -> int:
    """Pass a file of the service on as it comes, over cuts; returns its bytes.

    It returns when as much came as the service announced.

    Raises:
        RemoteNotFoundError: the file is gone.
        TransientError: it could not be had whole.
    """
    call = Call(
        what=f"download of {checked_file_name(name)}",
        method="GET",
        url=f"{http.endpoint.url(name)}:download?alt=media",
        # A compressed body has no use for a Range of the file.
        headers={"accept-encoding": "identity"},
    )
    mask = KeyMask(receiver, http.secret.forms())
    download = _Download(http, retries, call, mask)
    size = download.run(lambda: _stored_size(http, retries, name))
    mask.end()
    return size


class KeyMask:
    """Receiver that passes bytes on with a key covered by stars, wherever pieces are cut.

    Errors of single rows may repeat the key.

    Args:
        receiver: receives as many bytes as come.
        forms: texts that must not be passed on.
    """

    def __init__(self, receiver: AnswerReceiver, forms: Iterable[str]) -> None:
        self._receiver = receiver
        self._forms = [_KeyForm.of(form) for form in dict.fromkeys(forms)]
        self._kept = b""

    def write(self, piece: bytes, /) -> None:
        """Pass a piece on, except for an end in which a key may begin."""
        piece = self._kept + piece if self._kept else piece
        keep = len(piece)
        for form in self._forms:
            if form.rare_byte in piece:
                piece = piece.replace(form.text, b"*" * len(form.text))
            keep = min(keep, form.start_in(piece))
        self._kept = piece[keep:]
        self._receiver.write(piece[:keep] if self._kept else piece)

    def rewind(self) -> None:
        """Begin again."""
        self._kept = b""
        self._receiver.rewind()

    def end(self) -> None:
        """Pass on the bytes that were kept back."""
        self._receiver.write(self._kept)
        self._kept = b""


@dataclass(frozen=True, slots=True)
class _KeyForm:
    """Text of a key, and a character of it that answers seldom hold.

    A character is found thirty times as fast as a text.
    """

    text: bytes
    rare_byte: bytes

    @classmethod
    def of(cls, form: str) -> _KeyForm:
        text = form.encode()
        rare = [bytes([c]) for c in text if c not in _USUAL]
        return cls(text, rare[0] if rare else text)

    def start_in(self, piece: bytes) -> int:
        """Find where the last bytes of a piece may begin this text; its length if nowhere."""
        at = max(0, len(piece) - len(self.text) + 1)
        while (at := piece.find(self.text[:1], at)) >= 0:
            if self.text.startswith(piece[at:]):
                return at
            at += 1
        return len(piece)


class _Download:
    """Download of one file: how much was passed on, and what is known of the whole."""

    def __init__(
        self, http: GeminiHttp, retries: RetryPolicy, call: Call, receiver: AnswerReceiver
    ) -> None:
        self._http, self._retries, self._call, self._receiver = http, retries, call, receiver
        self._offset, self._furthest = 0, 0
        self._total: int | None = None
        self._etag = ""

    def run(self, stored_size: Callable[[], int]) -> int:
        for _ in range(_MAX_CUTS):
            # The policy counts anew after a cut that came later than all before it.
            if not self._retries.run(self._step):
                continue
            if self._total is None and (size := stored_size()) != self._offset:
                raise TransientError(
                    f"{self._call.what}: {self._offset} bytes came without a length, and the "
                    f"service holds {size}"
                )
            return self._offset
        raise TransientError(f"{self._call.what}: cut {_MAX_CUTS} times at {self._offset} bytes")

    def _step(self) -> bool:
        """Read on; True at the end, False after a cut that still brought new bytes.

        Raises:
            TransientError: a cut that brought nothing new.
        """
        try:
            with self._http.stream(self._ranged()) as response:
                return self._take(response)
        except TransientError:
            # Bytes that were written stay: the next step asks for what follows them.
            if self._offset > self._furthest:
                self._furthest = self._offset
                return False
            raise

    def _ranged(self) -> Call:
        headers = dict(self._call.headers)
        if self._offset:
            headers["range"] = f"bytes={self._offset}-"
            if self._etag:
                headers["if-range"] = self._etag
        return Call(self._call.what, "GET", self._call.url, headers)

    def _take(self, response: OpenResponse) -> bool:
        if response.status == 416 and self._offset:
            return self._end_by_416(response)
        if response.status not in (200, 206):
            raise self._refusal(response)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ServiceError(f"{self._call.what}: came compressed although identity was asked")
        self._total = self._align(response)
        etag = response.headers.get("etag", "")
        self._etag = "" if etag.startswith("W/") else etag
        for piece in response.pieces():
            self._receiver.write(piece)
            self._offset += len(piece)
        if self._total is not None and self._offset != self._total:
            raise TransientError(f"{self._call.what}: {self._offset} of {self._total} bytes came")
        # A body that ends with its chunked coding is whole; one that ends with the connection
        # and announced no length is not known to be.
        if "chunked" in response.headers.get("transfer-encoding", "").lower():
            self._total = self._offset
        return True

    def _align(self, response: OpenResponse) -> int | None:
        """Set the offset to where this body begins; returns the whole length if it is known."""
        if response.status == 200:
            # The whole file again: Range was not heeded, or it has changed since.
            self._rewind()
            length = response.headers.get("content-length", "")
            return int(length) if _LENGTH.fullmatch(length) else None
        given = response.headers.get("content-range", "")
        match = _CONTENT_RANGE.fullmatch(given)
        if match is None or int(match[1]) != self._offset or match[3] == "*":
            offset = self._offset
            self._rewind()
            shown = self._http.secret.scrub(one_line(given, 80))
            raise TransientError(
                f"{self._call.what}: asked from byte {offset} and was answered {shown!r}"
            )
        if self._total is not None and int(match[3]) != self._total:
            self._rewind()
            raise TransientError(f"{self._call.what}: changed its length while it was read")
        return int(match[3])

    def _end_by_416(self, response: OpenResponse) -> bool:
        """End a download that nothing follows, if the service says that its length is just that."""
        match = _UNSATISFIED.fullmatch(response.headers.get("content-range", ""))
        if match and int(match[1]) == self._offset:
            self._total = self._offset
            return True
        self._rewind()
        raise TransientError(f"{self._call.what}: cannot be resumed, begins again")

    def _rewind(self) -> None:
        if self._offset:
            self._receiver.rewind()
        self._offset, self._etag, self._total = 0, "", None

    def _refusal(self, response: OpenResponse) -> ServiceError:
        body = b""
        for piece in response.pieces():
            body += piece
            if len(body) >= _SHOWN_BODY:
                break
        answer = HttpResponse(response.status, response.headers, body)
        if response.status < 300:
            return RefusedError(f"{self._call.what}: HTTP {response.status} is no download")
        return self._http.refusal(self._call, answer)


def _stored_size(http: GeminiHttp, retries: RetryPolicy, name: str) -> int:
    call = Call(f"length of {name}", "GET", http.endpoint.url(name))
    return parse_file(retries.run(lambda: http.read(call))).size_bytes
