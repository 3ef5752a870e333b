"""Seam to a service's wire format: contents of a request, and what plans and lanes ask of it.

Every service writes requests and answers in its own form. Planning needs their sizes, rendering
their bytes, collecting their reader; none of them needs to know which service it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from reembed.core.join import Answer


class TextPart(NamedTuple):
    """Text to embed, and the title that the service may use with documents."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class MediaPart:
    """Bytes of an image, audio, video or PDF, as they will be sent."""

    data: bytes
    mime_type: str


@dataclass(frozen=True, slots=True)
class MixedPart:
    """Several contents of one request, in order; one vector."""

    parts: tuple[TextPart | MediaPart, ...]


Part = TextPart | MediaPart | MixedPart

# Where a request stands: a line of a job's input file, the same line with the model's name in it
# (which a service may take or refuse), an entry of a create's body, the body of an online call.
Form = Literal["file", "file_with_model", "inline", "online"]


def contents_of(part: Part) -> tuple[TextPart | MediaPart, ...]:
    """List the contents of a request, in order."""
    return part.parts if isinstance(part, MixedPart) else (part,)


class AnswerReader(Protocol):
    """Parser of an answer, fed as its bytes come; never raises on their content."""

    def feed(self, piece: bytes, /) -> Iterator[Answer]:
        """Yield the answers that end in the next piece, which is cut anywhere.

        An answer's values may live in the reader's buffer until the next one is asked for.
        """

    def end(self) -> Iterator[Answer]:
        """Yield the last answer, where nothing ended it."""


class WireFormat(Protocol):
    """Requests and answers of one service under one configuration.

    Picklable, since it travels to workers; pure, since plans are made with it.
    """

    @property
    def mime_type(self) -> str:
        """MIME type of an input file."""

    @property
    def sends_titles(self) -> bool:
        """True where a title is sent with its text: equal texts then differ by their titles."""

    def text_bytes(self, title: str | None, text: str) -> int:
        """Count the bytes of a text's request on the wire; never less than are sent."""

    def media_bytes(self, size: int) -> int:
        """Count the bytes of a request with `size` bytes of media; never less than are sent."""

    def result_line_bytes(self) -> int:
        """Predict the bytes of one result; jobs and file storage are sized by it."""

    def request(self, key: str, part: Part, form: Form) -> bytes:
        """Write a request; a line of a file with its newline, all others without.

        Raises:
            RejectError: its content cannot be sent.
        """

    def fault_of(self, part: Part, tokens: int, request: bytes) -> str:
        """Say what is wrong with a request that was refused; empty where nothing is found.

        Args:
            part: what is embedded.
            tokens: the plan's estimate for it.
            request: as it was sent, from a file or from a create's body.
        """

    def answer_reader(self) -> AnswerReader:
        """Make a reader for one answer."""
