"""Elements of `Embed`: inputs, vectors, rejects; named tuples that have a Beam schema.

Beam's row coder carries them between processes and languages, and steps that work by schema
(`SqlTransform`, `WriteToParquet`, `WriteToBigQuery`) take them as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np


class EmbedInput(NamedTuple):
    """One input: a text, or the URI of an object, under a key of its own.

    Attributes:
        key: not empty, and unique in the collection; vectors are in the order of keys.
        text: what is embedded; or:
        uri: where it is: a path, ``gs://…``, a ``data:`` URI, ``https://…`` with `source.https`.
        title: travels to the vector, and into the request of a document.
        metadata: travels to the vector, for instance as JSON.
    """

    key: str
    text: str | None = None
    uri: str | None = None
    title: str | None = None
    metadata: str | None = None


class Embedding(NamedTuple):
    """One vector of an input; a long input has several.

    Attributes:
        key: of the input.
        part: number of this part of the input, from 0.
        parts: how many parts the input has.
        embedding: the vector, float32, of unit length.
        source_index: with `offset` and `part`, the place among all vectors: see `order`.
        offset: see `source_index`.
        source_uri: of the input; empty where it was a text.
        modality: ``text``, ``image``, ``audio``, ``video``, ``pdf``.
        start: where the part begins in the input; characters, seconds, or pages from 1.
        end: where it ends.
        unit: ``char``, ``second`` or ``page``.
        title: of the input, or found in it.
        text: the part's text, where `destination.text` is on.
        metadata: of the input.
        content_hash: equal for equal content under an equal configuration.
        token_count: tokens that the service counted.
        model: the model's name.
    """

    key: str
    part: int
    parts: int
    embedding: Sequence[np.float32]
    source_index: int
    offset: int
    source_uri: str
    modality: str
    start: float | None
    end: float | None
    unit: str | None
    title: str | None
    text: str | None
    metadata: str | None
    content_hash: str
    token_count: int | None
    model: str

    @property
    def order(self) -> tuple[int, int, int]:
        """Sort key that puts all vectors of a run into the order of their keys and parts."""
        return self.source_index, self.offset, self.part


class EmbedReject(NamedTuple):
    """One input, or one part of it, that has no vector.

    Attributes:
        key: of the input.
        part: number of the part, from 0.
        parts: how many parts the input has.
        reason: short word to group by, as in ``docs/rejects.md``.
        message: what to do about it.
        stage: where it was found: ``read``, ``plan``, ``render``, ``embed``.
    """

    key: str
    part: int
    parts: int
    reason: str
    message: str
    stage: str


class EmbedResult(NamedTuple):
    """Output of `Embed`: every input is in one of both, and in both if some of its parts are."""

    vectors: beam.PCollection[Embedding]
    rejects: beam.PCollection[EmbedReject]


for _element in (EmbedInput, Embedding, EmbedReject):
    beam.coders.registry.register_coder(_element, beam.coders.RowCoder)
