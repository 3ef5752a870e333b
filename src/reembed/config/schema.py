"""Schema of the configuration, one YAML file a migration, as immutable pydantic models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import Field, ValidationError, field_validator, model_validator

from reembed.config.base import Problem, ProblemsError, Section, wrong
from reembed.config.crosscheck import check_sections
from reembed.config.destination import DestinationConfig
from reembed.config.messages import problems_of
from reembed.config.models import MODELS, RETIRED, ModelSpec
from reembed.config.notifications import NotifyConfig
from reembed.config.secret_names import is_secret_version
from reembed.config.source import SourceConfig
from reembed.registry import load_extensions


class ModelConfig(Section):
    """Model, dimensions and task; `limits` overrides entries of the model table."""

    name: str = "gemini-embedding-2"
    dimensions: int = 768
    task: str = "retrieval_document"
    limits: dict[str, Any] = Field(default_factory=dict)

    def spec(self) -> ModelSpec:
        """Return the model table's entry with this configuration's overrides."""
        if self.name in RETIRED:
            raise wrong(
                "name",
                self.name,
                f"this model was switched off on {RETIRED[self.name]}; give gemini-embedding-2",
            )
        if self.name not in MODELS:
            raise wrong("name", self.name, f"not a known model; give {_listed(sorted(MODELS))}")
        if "name" in self.limits:
            raise wrong("limits.name", self.limits["name"], "not a limit; give model.name")
        merged = _overlay(MODELS[self.name].model_dump(), self.limits)
        try:
            return ModelSpec.model_validate_json(orjson.dumps(merged), strict=True)
        except ValidationError as err:
            found = problems_of(err, ModelSpec)
            raise ProblemsError(*(p.under("limits") for p in found)) from None

    @model_validator(mode="after")
    def _fits_the_model(self) -> ModelConfig:
        spec = self.spec()
        if not spec.min_dimensions <= self.dimensions <= spec.max_dimensions:
            raise wrong(
                "dimensions",
                self.dimensions,
                f"not possible with {self.name}; give {spec.min_dimensions} to "
                f"{spec.max_dimensions} (768, 1536 or 3072 are usual)",
            )
        if self.task not in spec.tasks:
            raise wrong("task", self.task, f"not a task of {self.name}; give {_listed(spec.tasks)}")
        return self


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else "".join(names)


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        inner = merged.get(name)
        merged[name] = (
            _overlay(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return merged


class TextChunking(Section):
    """Token bounds of a text chunk, by a conservative estimate."""

    max_tokens: int = Field(1024, ge=16)
    overlap_tokens: int = Field(128, ge=0)
    title: bool = True

    @model_validator(mode="after")
    def _overlap_below_size(self) -> TextChunking:
        _below("overlap_tokens", self.overlap_tokens, "max_tokens", self.max_tokens)
        return self


class AudioChunking(Section):
    """Seconds of an audio chunk."""

    max_seconds: float = Field(180.0, gt=0)
    overlap_seconds: float = Field(5.0, ge=0)

    @model_validator(mode="after")
    def _overlap_below_size(self) -> AudioChunking:
        _below("overlap_seconds", self.overlap_seconds, "max_seconds", self.max_seconds)
        return self


class VideoChunking(Section):
    """Seconds of a video chunk; `soundtrack: separate` makes audio chunks of the same item."""

    max_seconds: float = Field(120.0, gt=0)
    overlap_seconds: float = Field(4.0, ge=0)
    soundtrack: Literal["drop", "separate"] = "drop"

    @model_validator(mode="after")
    def _overlap_below_size(self) -> VideoChunking:
        _below("overlap_seconds", self.overlap_seconds, "max_seconds", self.max_seconds)
        return self


class PdfChunking(Section):
    """Pages of a PDF chunk."""

    max_pages: int = Field(6, gt=0)
    overlap_pages: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _overlap_below_size(self) -> PdfChunking:
        _below("overlap_pages", self.overlap_pages, "max_pages", self.max_pages)
        return self


class ImageChunking(Section):
    """Bounds of images; one above `max_pixels` is refused as a decompression bomb."""

    max_pixels: int = Field(100_000_000, gt=0)


def _below(name: str, value: float, bound_name: str, bound: float) -> None:
    if value >= bound:
        raise wrong(name, value, f"not below {bound_name}; give less than {bound:g}")


class ChunkingConfig(Section):
    """Sizes of chunks; the model's own limits apply besides."""

    text: TextChunking = TextChunking()
    image: ImageChunking = ImageChunking()
    audio: AudioChunking = AudioChunking()
    video: VideoChunking = VideoChunking()
    pdf: PdfChunking = PdfChunking()


class BatchConfig(Section):
    """Packing limits of one job, the quotas of the project, and polling."""

    input: Literal["inline", "file", "auto"] = "auto"
    max_requests: int = Field(10_000, gt=0)
    max_tokens: int | Literal["auto"] = "auto"
    max_input_mb: float = Field(512, gt=0, le=2000)
    max_result_mb: float = Field(256, gt=0)
    concurrent_jobs: int = Field(100, gt=0)
    enqueued_tokens: int = Field(500_000, gt=0)
    file_storage_gb: float = Field(20, gt=0)
    priority: int = Field(0, ge=-(2**63), lt=2**63)
    poll_seconds: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        15.0,
        300.0,
    )
    max_attempts: int = Field(4, ge=1, le=20)
    stuck_hours: float = Field(24.0, gt=0)
    on_stuck: Literal["report", "resubmit"] = "report"
    lease_seconds: float = Field(120.0, gt=0)
    list_lag_seconds: float = Field(60.0, ge=0)
    job_list_days: float | None = Field(None, ge=1)
    lanes: int | None = Field(None, gt=0, le=1000)
    max_wait_hours: float = Field(24.0, gt=0)

    @model_validator(mode="after")
    def _intervals_grow(self) -> BatchConfig:
        low, high = self.poll_seconds
        if low > high:
            raise wrong("poll_seconds", [low, high], "these shrink; give the shortest first")
        return self

    @model_validator(mode="after")
    def _job_fits_quota(self) -> BatchConfig:
        if self.max_tokens != "auto" and not 0 < self.max_tokens <= self.enqueued_tokens:
            raise wrong(
                "max_tokens",
                self.max_tokens,
                f"such a job can never be submitted; give auto, or 1 to {self.enqueued_tokens} "
                "(batch.enqueued_tokens)",
            )
        return self


class BudgetConfig(Section):
    """Cap in dollars over all calls of a commit; None asks, or refuses without a terminal."""

    max_usd: float | None = Field(None, ge=0)


class ServiceConfig(Section):
    """Where the service is; `base_url` None is the real one. The key is never in a file.

    `provider` names an entry of the table of providers, which is looked up when one is needed: it
    may come from another package.

    `api_key_secret` names a version of a secret in Secret Manager, which each process that needs
    the key reads for itself; None reads the key from the environment.
    """

    provider: str = Field("gemini_batch", pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
    base_url: str | None = None
    api_version: str = "v1beta"
    timeout_seconds: float = Field(120.0, gt=0)
    api_key_secret: str | None = None

    @model_validator(mode="after")
    def _is_http(self) -> ServiceConfig:
        if self.base_url is not None:
            _check_base_url(self.base_url)
        return self

    @model_validator(mode="after")
    def _is_reference(self) -> ServiceConfig:
        if self.api_key_secret is not None and not is_secret_version(self.api_key_secret):
            # It may be the key itself, by mistake: never shown.
            remedy = "give projects/PROJECT/secrets/NAME/versions/VERSION, never the key itself"
            raise ProblemsError(Problem("api_key_secret", "(not shown)", remedy))
        return self


def _check_base_url(url: str) -> None:
    example = "give for instance http://127.0.0.1:8901, or leave it out for the real service"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise wrong("base_url", url, f"not an http(s) address; {example}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        # The address is written into records and reports: it must not carry a secret.
        raise ProblemsError(Problem("base_url", "(not shown)", f"no user, query or #; {example}"))


class Config(Section):
    """One migration.

    `extensions` names Python modules that add kinds of sources, destinations, formats or providers.
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    run_dir: str = ""
    extensions: tuple[str, ...] = ()
    source: SourceConfig
    model: ModelConfig = ModelConfig()
    chunking: ChunkingConfig = ChunkingConfig()
    batch: BatchConfig = BatchConfig()
    budget: BudgetConfig = BudgetConfig()
    service: ServiceConfig = ServiceConfig()
    destination: DestinationConfig = DestinationConfig()
    notify: NotifyConfig = NotifyConfig()

    @field_validator("extensions", mode="after")
    @classmethod
    def _load(cls, modules: tuple[str, ...]) -> tuple[str, ...]:
        # Fields are validated in their order: the modules add their kinds before the sections
        # below are looked at.
        load_extensions(modules)
        return modules

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        check_sections(self)
        return self
