"""Wire format of Gemini's batch jobs for one configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reembed.config.schema import Config
from reembed.config.tasks import DOCUMENT_TASK
from reembed.core.wire import Form, Part
from reembed.providers.gemini.answers import GeminiAnswerReader
from reembed.providers.gemini.check import RequestLimits, fault_of
from reembed.providers.gemini.requests import (
    RequestOptions,
    embed_request,
    inline_request,
    jsonl_line,
    max_result_line_bytes,
    media_request_bytes,
    result_line_bytes,
    text_request_bytes,
    to_json,
)

# The service guesses no type from the suffix .jsonl (C): it must be named.
JSONL: Final = "application/jsonl"


@dataclass(frozen=True, slots=True)
class GeminiWire:
    """Form of requests and answers of Gemini's batch jobs; see `WireFormat`.

    Args:
        options: what is the same in every request.
        limits: what the service takes in one request.
    """

    options: RequestOptions
    limits: RequestLimits

    @classmethod
    def of(cls, config: Config) -> GeminiWire:
        """Make the wire format of a configuration."""
        return cls(RequestOptions.of(config), RequestLimits.of(config))

    @property
    def mime_type(self) -> str:
        """MIME type of an input file."""
        return JSONL

    @property
    def sends_titles(self) -> bool:
        """True for documents: their titles are sent with them."""
        return self.options.task == DOCUMENT_TASK

    def text_bytes(self, title: str | None, text: str) -> int:
        """Count the bytes of a text's line, its task's words and title included."""
        return text_request_bytes(self.options.style, self.options.task, title, text)

    def media_bytes(self, size: int) -> int:
        """Count the bytes of the line of `size` bytes of media."""
        return media_request_bytes(size)

    def result_line_bytes(self) -> int:
        """Predict the bytes of one result line."""
        return result_line_bytes(self.options.dimensions)

    def request(self, key: str, part: Part, form: Form) -> bytes:
        """Write a request in one of its forms.

        Raises:
            RejectError: as `to_json`.
        """
        body = embed_request(part, self.options)
        if form == "file":
            return jsonl_line(key, body)
        if form == "inline":
            return inline_request(self.options.model, key, body)
        if form == "online":
            return to_json(body)
        return jsonl_line(key, {"model": f"models/{self.options.model}", **body})

    def fault_of(self, part: Part, tokens: int, request: bytes) -> str:
        """Say what is wrong with a request that was refused; empty where nothing is found."""
        return fault_of(part, tokens, request, self.limits)

    def answer_reader(self) -> GeminiAnswerReader:
        """Make a reader for one answer, for lines as long as this dimension's may be."""
        return GeminiAnswerReader(max_result_line_bytes(self.options.dimensions))
