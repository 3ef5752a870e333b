"""Checks across sections: values that are valid alone but not together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reembed.config.base import Problem, ProblemsError, show_value

if TYPE_CHECKING:
    from reembed.config.schema import Config


def check_sections(config: Config) -> None:
    """Refuse sizes above the model's limits, and limits of a job that are under one text chunk.

    Raises:
        ProblemsError: with every problem, keys from the root.
    """
    found = [*_above_the_model(config), *_job_problems(config)]
    if found:
        raise ProblemsError(*found)


def largest_chunk_tokens(config: Config) -> int:
    """Compute the most tokens that one chunk of this configuration may count.

    Audio counts by the second; video one frame a second and one at the end, up to the model's
    number of frames; PDF by the page.
    """
    spec, chunking = config.model.spec(), config.chunking
    sizes = [chunking.text.max_tokens]
    if spec.image is not None:
        sizes.append(spec.image.tokens_each)
    if spec.audio is not None:
        sizes.append(math.ceil(chunking.audio.max_seconds * spec.audio.tokens_per_second))
    if spec.video is not None:
        frames = min(spec.video.max_frames, math.ceil(chunking.video.max_seconds) + 1)
        sizes.append(frames * spec.video.tokens_per_frame)
    if spec.pdf is not None:
        sizes.append(chunking.pdf.max_pages * spec.pdf.tokens_per_page)
    return max(sizes)


def _above_the_model(config: Config) -> Iterator[Problem]:
    # The service silently truncates what is above its limits: half of a text would get the vector.
    spec, chunking = config.model.spec(), config.chunking
    # A modality that the model does not take has no limit here: its items become rejects.
    sizes: list[tuple[str, float, float]] = [
        ("text.max_tokens", chunking.text.max_tokens, spec.text.max_tokens)
    ]
    if spec.audio is not None:
        sizes.append(("audio.max_seconds", chunking.audio.max_seconds, spec.audio.max_seconds))
    if spec.video is not None:
        sizes.append(("video.max_seconds", chunking.video.max_seconds, spec.video.max_seconds))
    if spec.pdf is not None:
        sizes.append(("pdf.max_pages", chunking.pdf.max_pages, spec.pdf.max_pages))
    for key, size, limit in sizes:
        section, _, name = key.partition(".")
        # A default may be above the limit of a smaller model: the chunkers keep the limit anyway.
        if size > limit and name in getattr(chunking, section).model_fields_set:
            yield Problem(
                f"chunking.{key}",
                show_value(size),
                f"more than {spec.name} takes in one request; give at most {limit:g}",
            )


def _job_problems(config: Config) -> Iterator[Problem]:
    # Only text is certain to occur; whether a video of the largest size does, the plan shows.
    batch, chunk = config.batch, config.chunking.text.max_tokens
    limits = {"enqueued_tokens": batch.enqueued_tokens}
    if batch.max_tokens != "auto":
        limits["max_tokens"] = batch.max_tokens
    for key, value in limits.items():
        if value < chunk:
            yield Problem(
                f"batch.{key}",
                show_value(value),
                f"less than one text chunk may count; give at least {chunk} "
                "(chunking.text.max_tokens), or a smaller chunk",
            )
