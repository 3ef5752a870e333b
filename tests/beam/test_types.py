"""Public transforms say which elements they take and give, so that Beam refuses others early."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.typehints.decorators import TypeCheckError

import reembed.beam
from reembed.beam import (
    Block,
    CheckKeys,
    ChunkBatch,
    Chunking,
    ChunkItems,
    DealLanes,
    DriveShards,
    Embed,
    Embedding,
    EmbedInput,
    EmbedReject,
    KeyFindings,
    LaneSpec,
    PackShards,
    PartitionPlan,
    ReadItems,
    Settled,
    Span,
)
from reembed.config.schema import Config
from reembed.driver.session import Session
from reembed.ledger.run_dir import RunDir
from reembed.providers.open import packing_of
from reembed.sources.files import ListingReader

Make = Callable[[Config, RunDir], beam.PTransform]
STEPS: list[tuple[Make, Any, Any]] = [
    (lambda config, run_dir: ReadItems(ListingReader()), Span, Block),
    (
        lambda config, run_dir: ChunkItems(Chunking.of(config, run_dir), "p"),
        Block,
        beam.typehints.Tuple[int, ChunkBatch],
    ),
    (
        lambda config, run_dir: PackShards(run_dir, "p", packing_of(config)),
        beam.typehints.Tuple[int, ChunkBatch],
        PartitionPlan,
    ),
    (lambda config, run_dir: CheckKeys(run_dir, "p", removed=False), Block, KeyFindings),
    (
        lambda config, run_dir: DriveShards(Session(config, "r", "p", 1)),
        LaneSpec,
        beam.typehints.Tuple[str, Settled],
    ),
]


@pytest.mark.parametrize(("make", "takes", "gives"), STEPS)
def test_a_step_takes_and_gives_its_elements(
    make: Make, takes: Any, gives: Any, config: Config, run_dir: RunDir
) -> None:
    pipeline = beam.Pipeline()
    given = pipeline | "Right" >> beam.Create([]).with_output_types(takes)
    assert (given | make(config, run_dir)).element_type == gives
    words = pipeline | "Wrong" >> beam.Create(["a word"])
    with pytest.raises(TypeCheckError, match="Input type hint violation"):
        _ = words | "Refused" >> make(config, run_dir)


def test_lanes_have_a_type() -> None:
    assert (beam.Pipeline() | DealLanes(2)).element_type == LaneSpec


@pytest.mark.parametrize("takes", [EmbedInput, beam.typehints.Tuple[str, str]])
def test_embed_gives_vectors_and_rejects_with_schemas(takes: Any, run_dir: RunDir) -> None:
    step = Embed({"name": "types"}, run_dir=run_dir.path, max_usd=1)
    result = beam.Pipeline() | beam.Create([]).with_output_types(takes) | step
    assert result.vectors.element_type == Embedding
    assert result.rejects.element_type == EmbedReject
    for kind in (Embedding, EmbedReject, EmbedInput):
        coder = beam.coders.registry.get_coder(kind)
        assert isinstance(coder, beam.coders.RowCoder)


def test_embed_refuses_elements_of_other_kinds(run_dir: RunDir) -> None:
    step = Embed({"name": "types"}, run_dir=run_dir.path, max_usd=1)
    with pytest.raises(TypeCheckError, match="Input type hint violation at Embed"):
        _ = beam.Pipeline() | beam.Create([{"text": "A river."}]) | step


def test_the_package_exports_what_it_names() -> None:
    assert set(reembed.beam._MODULES) == set(reembed.beam.__all__)
    for name in reembed.beam.__all__:
        assert getattr(reembed.beam, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Unknown'"):
        _ = reembed.beam.Unknown
