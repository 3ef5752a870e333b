"""Seam to an embedding service: its batch jobs, its capabilities, its wire format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from reembed.config.capabilities import Capabilities
from reembed.config.schema import Config, ServiceConfig
from reembed.core.wire import WireFormat
from reembed.errors import RefusedError
from reembed.providers.answer_files import whole_or_nothing

JobState = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "UNKNOWN"]
TERMINAL: frozenset[str] = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"})


@dataclass(frozen=True, slots=True)
class JobStats:
    """Requests of a batch job by fate; absent counts are 0."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Copy of a google.rpc.Status; `code` is a google.rpc.Code, 3 for INVALID_ARGUMENT."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """Remote batch job, as one reply showed it.

    `state` is UNKNOWN for a word that this package does not know; `raw_state` keeps the word.
    Times are RFC 3339 text as the service wrote them, empty when absent. `responses_file` is set
    for a file result, `inline_responses` for an inline one (each ``{metadata, response|error}``).
    """

    name: str
    display_name: str
    state: JobState
    raw_state: str
    stats: JobStats = field(default_factory=JobStats)
    error: RemoteError | None = None
    create_time: str = ""
    end_time: str = ""
    input_file: str = ""
    responses_file: str = ""
    inline_responses: tuple[dict[str, Any], ...] | None = None
    model: str = ""
    priority: int = 0

    @property
    def done(self) -> bool:
        """True once the job has ended, well or not."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """File in the service's storage; Gemini's names are ``files/…``."""

    name: str
    size_bytes: int
    mime_type: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Description of a model by the service; `methods` are the calls that it takes."""

    name: str
    input_token_limit: int
    methods: tuple[str, ...] = ()


class AnswerReceiver(Protocol):
    """Receiver of an answer's bytes as they come."""

    def write(self, piece: bytes, /) -> object:
        """Take the next bytes."""

    def rewind(self) -> None:
        """Forget all that came: the answer begins again at its first byte."""


class BatchService(Protocol):
    """Client of an embedding service that runs asynchronous batch jobs.

    Every method is one remote operation with its own timeout. All raise from
    `reembed.errors.ServiceError`; none retries a create.
    """

    def upload(self, path: Path, name: str, mime_type: str) -> RemoteFile:
        """Send a local file under the chosen name (`Capabilities.input_prefix` and 36 characters).

        Raises:
            NameTakenError: the name exists; an earlier upload of the same name had finished.
        """

    def create_from_file(self, model: str, display_name: str, file_name: str, priority: int) -> Job:
        """Create a job over an uploaded JSONL file. Sent once, never repeated.

        Raises:
            UnknownOutcomeError: the request went out and no answer came.
        """

    def create_inline(
        self, model: str, display_name: str, requests: Sequence[bytes], priority: int
    ) -> Job:
        """Create a job whose requests stand in the body; each is ``{"request":…,"metadata":…}``."""

    def get(self, name: str) -> Job:
        """Read one job by its name; terminal inline jobs carry their responses."""

    def list_jobs(self) -> Iterator[Job]:
        """Yield all jobs that the service still lists, newest first, over all pages."""

    def cancel(self, name: str) -> None:
        """Ask for the job's end; best effort."""

    def delete(self, name: str) -> None:
        """Remove the job's record."""

    def stream(self, job: Job, receiver: AnswerReceiver) -> int:
        """Pass a finished job's answers on as JSON lines, as they come; returns the bytes.

        Memory does not grow with the result. An inline answer becomes lines
        ``{"key":…,"response"|"error":…}`` with the key from its metadata (no key when none came),
        so that one reader serves both forms. It returns only when the receiver has the whole
        answer; what the receiver got before an error is of no use.

        Raises:
            RemoteNotFoundError: the result file is gone.
        """

    def fetch(self, job: Job, path: Path) -> int:
        """Write a finished job's answers to `path`, as `stream` gives them; returns the bytes.

        Never leaves a short file under `path`.

        Raises:
            RemoteNotFoundError: the result file is gone.
        """

    def delete_file(self, name: str) -> None:
        """Delete a file.

        Raises:
            RefusedError: the service does not delete this file (generated result names).
            RemoteNotFoundError: it is gone already.
        """

    def list_files(self) -> Iterator[RemoteFile]:
        """Yield all files of the project, over all pages."""

    def model(self, name: str) -> ModelInfo:
        """Describe a model, by its bare name.

        Raises:
            RemoteNotFoundError: there is no such model.
        """

    def count_tokens(self, model: str, text: str) -> int:
        """Count the tokens of a text as the service does (free of charge)."""

    def embed(self, model: str, request: bytes) -> list[float]:
        """Embed one content by the online call; `request` is its body."""


class MinimalService:
    """Defaults for what a service may lack; a client derives from it and adds the rest.

    Missing are `upload`, `create_from_file`, `get`, `list_jobs` and `stream`.
    """

    def __enter__(self) -> Self:
        """Open nothing: connections are made when first needed."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections; there are none."""

    def create_inline(
        self, model: str, display_name: str, requests: Sequence[bytes], priority: int
    ) -> Job:
        """Refuse: this service takes its requests from a file."""
        raise RefusedError("this service takes no inline jobs; set batch.input to file")

    def cancel(self, name: str) -> None:
        """Do nothing: a job that cannot be cancelled is waited for."""

    def delete(self, name: str) -> None:
        """Do nothing: jobs go by themselves."""

    def fetch(self: _Streams, job: Job, path: Path) -> int:
        """Write a finished job's answers to `path`, by `stream`; returns the bytes.

        Raises:
            StorageError: the file cannot be written.
        """
        with whole_or_nothing(path) as file:
            return self.stream(job, file)

    def delete_file(self, name: str) -> None:
        """Do nothing: files go by themselves. Not for a service whose inputs must fence."""

    def list_files(self) -> Iterator[RemoteFile]:
        """List nothing."""
        return iter(())

    def model(self, name: str) -> ModelInfo:
        """Say nothing of a model but its name."""
        return ModelInfo(name, 0)

    def count_tokens(self, model: str, text: str) -> int:
        """Refuse: this service does not count."""
        raise RefusedError("this service does not count tokens; the plan's estimate stands")

    def embed(self, model: str, request: bytes) -> list[float]:
        """Refuse: this service has no online call."""
        raise RefusedError("this service has no online call to compare with")


class _Streams(Protocol):
    def stream(self, job: Job, receiver: AnswerReceiver) -> int: ...


# A service that is closed when its context ends.
ClosingService = AbstractContextManager[BatchService]


class Provider(Protocol):
    """Embedding service, as a configuration's section `service` describes it.

    Making one sends nothing and needs no key: plans ask it for sizes and limits.
    """

    @property
    def capabilities(self) -> Capabilities:
        """Limits and habits that plans and the state machine may count on."""

    def wire(self, config: Config) -> WireFormat:
        """Make the wire format of a configuration."""

    def settle(self, environ: Mapping[str, str]) -> ServiceConfig:
        """Write what the environment decides into the section, so that it is frozen with it."""

    def key(self, environ: Mapping[str, str]) -> str:
        """Find the secret that `open` takes; empty for a service without one.

        Raises:
            UsageError: there is none; the message says where to put it.
        """

    def key_name(self) -> str:
        """Name the place that the key is from, for messages about a key that is refused."""

    def open(self, key: str) -> ClosingService:
        """Open the service; nothing is sent yet."""


class MinimalProvider:
    """Defaults of a provider without a key; one derives from it and adds the rest.

    Missing are `capabilities`, `wire` and `open`.
    """

    def __init__(self, settings: ServiceConfig) -> None:
        self.settings = settings

    def settle(self, environ: Mapping[str, str]) -> ServiceConfig:
        """Take nothing from the environment."""
        return self.settings

    def key(self, environ: Mapping[str, str]) -> str:
        """Need no key."""
        return ""

    def key_name(self) -> str:
        """Name the service: there is no key to name."""
        return f"the sign-in of {self.settings.provider}"
