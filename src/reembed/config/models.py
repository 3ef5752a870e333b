"""Model table: limits and prices, dated, with their source; all can be overridden."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reembed.config.base import wrong

AS_OF = "2026-11-20"
SOURCE = "the vendor's model, pricing and batch pages as compiled on that day"

TASKS = (
    "retrieval_document",
    "retrieval_query",
    "semantic_similarity",
    "classification",
    "clustering",
    "question_answering",
    "fact_verification",
    "code_retrieval_query",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextLimits(_Frozen):
    """Tokens of one request; what is longer is silently truncated by the service."""

    max_tokens: int = Field(gt=0)


class ImageLimits(_Frozen):
    """Limits of images in one request."""

    mime_types: tuple[str, ...] = ("image/png", "image/jpeg")
    tokens_each: int = Field(258, gt=0)
    max_per_request: int = Field(6, gt=0)


class AudioLimits(_Frozen):
    """Limits of audio in one request."""

    mime_types: tuple[str, ...] = ("audio/mpeg", "audio/wav")
    max_seconds: float = Field(180.0, gt=0)
    tokens_per_second: float = Field(25.0, gt=0)
    max_per_request: int = Field(1, gt=0)


class VideoLimits(_Frozen):
    """Limits of video in one request: one frame a second, at most `max_frames`, evenly spaced."""

    mime_types: tuple[str, ...] = ("video/mp4", "video/quicktime")
    codecs: tuple[str, ...] = ("h264", "hevc", "av1", "vp9")
    max_seconds: float = Field(120.0, gt=0)
    max_frames: int = Field(32, gt=0)
    tokens_per_frame: int = Field(66, gt=0)
    max_per_request: int = Field(1, gt=0)


class PdfLimits(_Frozen):
    """Limits of a PDF in one request."""

    max_pages: int = Field(6, gt=0)
    tokens_per_page: int = Field(258, gt=0)
    max_per_request: int = Field(1, gt=0)


class Price(_Frozen):
    """Dollars for a million input tokens."""

    online: float = Field(ge=0)
    batch: float = Field(ge=0)


class ModelSpec(_Frozen):
    """Limits, dimensions and prices of one model.

    `unit_length` says for which dimensions the service itself returns unit vectors; the program
    normalises in any case. A modality whose limits are None is not taken by the model.
    """

    name: str
    text: TextLimits
    image: ImageLimits | None = None
    audio: AudioLimits | None = None
    video: VideoLimits | None = None
    pdf: PdfLimits | None = None
    min_dimensions: int = Field(128, gt=0)
    max_dimensions: int = Field(3072, gt=0)
    default_dimensions: int = Field(3072, gt=0)
    unit_length: Literal["always", "only_at_max"] = "always"
    task_style: Literal["prefix", "field"] = "prefix"
    tasks: tuple[str, ...] = TASKS
    prices: dict[str, Price]
    as_of: str = AS_OF
    source: str = SOURCE

    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the model takes."""
        media = ("image", "audio", "video", "pdf")
        return ("text", *(m for m in media if getattr(self, m) is not None))

    @model_validator(mode="after")
    def _all_priced(self) -> ModelSpec:
        for modality in self.modalities():
            if modality not in self.prices:
                raise wrong(
                    f"prices.{modality}",
                    "missing",
                    f"{self.name} takes {modality} and has no price for it; give "
                    f"{{online: …, batch: …}} in dollars for a million tokens",
                )
        return self

    @model_validator(mode="after")
    def _dimensions_in_order(self) -> ModelSpec:
        if not self.min_dimensions <= self.default_dimensions <= self.max_dimensions:
            raise wrong(
                "default_dimensions",
                self.default_dimensions,
                f"not between {self.min_dimensions} and {self.max_dimensions}; give a number there",
            )
        return self


# PDF pages are charged as images here: the price list names no PDF price of its own.
_IMAGE_PRICE = Price(online=0.45, batch=0.225)

MODELS: dict[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="gemini-embedding-2",
            text=TextLimits(max_tokens=8192),
            image=ImageLimits(),
            audio=AudioLimits(),
            video=VideoLimits(),
            pdf=PdfLimits(),
            prices={
                "text": Price(online=0.20, batch=0.10),
                "image": _IMAGE_PRICE,
                "audio": Price(online=6.50, batch=3.25),
                "video": Price(online=12.00, batch=6.00),
                "pdf": _IMAGE_PRICE,
            },
        ),
        ModelSpec(
            name="gemini-embedding-001",
            text=TextLimits(max_tokens=2048),
            unit_length="only_at_max",
            task_style="field",
            prices={"text": Price(online=0.15, batch=0.075)},
        ),
    )
}

RETIRED = {
    "gemini-embedding-2-preview": "2026-08-10",
    "text-embedding-004": "2026-01-14",
    "embedding-001": "2025-10-30",
}
