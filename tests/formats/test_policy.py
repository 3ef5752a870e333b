"""Settings by which items are cut, as they travel to workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reembed.config.schema import Config
from reembed.errors import UsageError
from reembed.formats.policy import ChunkPolicy
from reembed.formats.table import load_table


def policy_of(**batch: object) -> ChunkPolicy:
    config = {"name": "n", "source": {"files": ["*"]}, "model": {"dimensions": 256}}
    return ChunkPolicy.of(Config.model_validate({**config, "batch": batch}))


def test_it_is_the_configurations() -> None:
    policy = policy_of()
    assert (policy.dimensions, policy.task) == (256, "retrieval_document")
    assert policy.spec.name == "gemini-embedding-2"
    assert policy.chunking.text.max_tokens == 1024


def test_media_leave_room_for_base64_and_the_rest_of_the_request() -> None:
    largest = policy_of(max_input_mb=10).max_media_bytes
    assert largest * 4 / 3 <= 0.9 * 10_000_000 < (largest + 2) * 4 / 3


def test_a_worker_that_knows_other_formats_is_refused() -> None:
    policy = policy_of()
    assert policy.table() == load_table()
    with pytest.raises(UsageError, match="name their modules under `extensions`"):
        replace(policy, added=("weather",)).table()
