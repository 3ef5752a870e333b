"""Items become small elements of chunks; what cannot be read is a reject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reembed.beam.blocks import ChunkBatch, from_bytes
from reembed.beam.chunk_items import Chunking, ChunkItems, read_and_chunk
from reembed.config.schema import Config
from reembed.errors import AlreadyExistsError
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import Block
from reembed.storage.content import ContentReader
from reembed.storage.local import LocalStorage
from reembed.types import Item

MakeItem = Callable[..., Item]
RunSteps = Callable[..., list[Any]]
PLAN = "plan-1"


def test_a_file_that_vanished_or_changed_since_the_listing(config: Config, item: MakeItem) -> None:
    policy, storage = ChunkPolicy.of(config), LocalStorage()
    gone, changed = item(0, b"words"), item(1, b"words")
    Path(gone.uri).unlink()
    Path(changed.uri).write_bytes(b"other words")
    for listed in (gone, changed):
        [chunk] = read_and_chunk(ContentReader(storage), listed, policy).chunks
        assert chunk.reject is not None
        assert (chunk.reject.code, chunk.reject.stage) == ("source_changed", "read")
        assert listed.uri in chunk.reject.message
        assert (chunk.key, chunk.part, chunk.parts, chunk.tokens) == (listed.key, 0, 1, 0)


def test_a_file_that_cannot_be_read(config: Config, item: MakeItem, tmp_path: Path) -> None:
    listed = item(0, b"words")
    Path(listed.uri).unlink()
    Path(listed.uri).mkdir()
    [chunk] = read_and_chunk(ContentReader(LocalStorage()), listed, ChunkPolicy.of(config)).chunks
    assert chunk.reject is not None
    assert chunk.reject.code in ("source_changed", "source_unreadable")


def test_chunk_items_makes_one_small_element_a_block(
    config: Config, run_dir: RunDir, item: MakeItem, run_steps: RunSteps, corpus_png: bytes
) -> None:
    blocks = [
        Block(0, (item(0, b"Some words."), item(1, corpus_png, "noise.png"))),
        Block(1, (item(20_000, b""), item(20_001, b"<html><body><p>Read me.</p></body></html>"))),
    ]
    step = ChunkItems(Chunking.of(config, run_dir), PLAN)
    out = dict(run_steps(blocks, step))
    assert set(out) == {0, 1}
    assert all(isinstance(batch, ChunkBatch) and batch.items == 2 for batch in out.values())
    # The picture's bytes stay where they are: only its specification travels.
    assert len(corpus_png) > 300_000
    assert len(out[0].chunks) < 20_000
    first = from_bytes(out[0].chunks).to_pylist()
    assert [row["modality"] for row in first] == ["text", "image"]
    assert [row["text"] for row in first] == ["Some words.", None]
    assert first[1]["recipe"]
    second = from_bytes(out[1].chunks).to_pylist()
    assert [row["reject_code"] for row in second] == ["empty_file", None]
    digest = second[1]["source_hash"]
    extracted = Path(run_dir.layout.extracted(digest)).read_text()
    start, end = int(second[1]["start"]), int(second[1]["end"])
    assert extracted[start:end] == second[1]["text"]
    assert "Read me." in extracted


@pytest.fixture
def corpus_png() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.effect_noise((600, 600), 90).save(out, "PNG")
    return out.getvalue()


def test_an_extracted_text_that_is_there_already_is_kept(
    config: Config, run_dir: RunDir, item: MakeItem, run_steps: RunSteps
) -> None:
    page = b"<html><body><p>The same page.</p></body></html>"
    block = Block(0, (item(0, page, "a.html"), item(1, page, "b.html")))
    step = ChunkItems(Chunking.of(config, run_dir), PLAN)
    [(_, batch)] = run_steps([block], step)
    digests = set(from_bytes(batch.chunks).column("source_hash").to_pylist())
    assert len(digests) == 1
    with pytest.raises(AlreadyExistsError):
        LocalStorage().create(run_dir.layout.extracted(digests.pop()), b"")
