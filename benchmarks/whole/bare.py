"""The stages of a run as plain loops: no records, no order, no join, no checks, no resuming."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import orjson
import pyarrow.parquet as pq

from plain import lines, write_vectors
from reembed.config.schema import Config
from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.chunk import chunk_text_item
from reembed.core.manifest import manifest_of
from reembed.core.names import wire_key
from reembed.core.pack import PackedShard, pack_partition
from reembed.formats.policy import ChunkPolicy
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.types import Item, Position

_PARTITION = 20_000
_CHUNK = 8 << 20


def plan(table: Path, config: Config, work: Path) -> list[PackedShard]:
    """Read, cut and pack a table's rows; write the manifests."""
    policy, wire = ChunkPolicy.of(config), GeminiWire.of(config)
    packing = packing_of(config)
    shards, position = [], 0
    for number, batch in enumerate(pq.ParquetFile(table).iter_batches(batch_size=_PARTITION)):
        chunks = []
        for key, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            item = Item(key, str(table), Position(position), text=text)
            chunks += chunk_text_item(item, text, policy).chunks
            position += 1
        for shard in pack_partition(manifest_of(chunks, wire), number, packing):
            path = work / f"{shard.plan.shard}.manifest"
            pq.write_table(shard.manifest, path, compression="zstd", write_statistics=False)
            shards.append(shard)
    return shards


def submit(client: httpx.Client, config: Config, shard: PackedShard, work: Path) -> str:
    """Write a shard's requests, upload them, create its job; returns the job's name."""
    texts, requests = shard.manifest.column("text").to_pylist(), work / "requests.jsonl"
    canaries = plan_canaries(shard.plan.requests)
    originals = {canary.ordinal: canary.original for canary in canaries}
    with requests.open("wb") as file:
        for ordinal in wire_order(shard.plan.requests, canaries):
            text = f"title: none | text: {texts[originals.get(ordinal, ordinal)]}"
            body = {
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": config.model.dimensions,
            }
            line = {"key": wire_key(shard.plan.fingerprint, ordinal), "request": body}
            file.write(orjson.dumps(line) + b"\n")
    name = _upload(client, requests)
    batch = {"displayName": shard.plan.shard, "inputConfig": {"fileName": name}}
    url = f"/v1beta/models/{config.model.name}:asyncBatchEmbedContent"
    created = client.post(url, json={"batch": batch}).raise_for_status()
    job: str = created.json()["name"]
    return job


def _upload(client: httpx.Client, path: Path) -> str:
    size = path.stat().st_size
    headers = {
        "x-goog-upload-protocol": "resumable",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(size),
        "x-goog-upload-header-content-type": "application/jsonl",
    }
    file_of = {"file": {"mimeType": "application/jsonl"}}
    begun = client.post("/upload/v1beta/files", headers=headers, json=file_of).raise_for_status()
    offset = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            last = offset + len(chunk) == size
            headers = {
                "x-goog-upload-offset": str(offset),
                "x-goog-upload-command": "upload, finalize" if last else "upload",
            }
            address = begun.headers["x-goog-upload-url"]
            answer = client.post(address, headers=headers, content=chunk).raise_for_status()
            offset += len(chunk)
    name: str = answer.json()["file"]["name"]
    return name


def collect(client: httpx.Client, files: Iterable[str], dimensions: int, part: Path) -> int:
    """Stream all answers into one Parquet file; returns the vectors."""
    return write_vectors(_answers(client, files), dimensions, part)


def _answers(client: httpx.Client, files: Iterable[str]) -> Iterator[bytes]:
    for name in files:
        with client.stream("GET", f"/v1beta/{name}:download?alt=media") as response:
            yield from lines(response.iter_raw())
