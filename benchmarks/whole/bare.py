"""The stages of a run as plain loops: no records, no order, no join, no checks, no resuming."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import simdjson

from reembed.config.schema import Config
from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.chunking import chunk_text_item
from reembed.core.manifest import manifest_of
from reembed.core.names import wire_key
from reembed.core.planning import PackedShard, Packing, pack_stripe
from reembed.core.policy import ChunkPolicy
from reembed.core.requests import RequestOptions
from reembed.types import Item, Position

_STRIPE = 20_000
_CHUNK = 8 << 20
_ROWS = 1024
_SCHEMA = pa.schema([("key", pa.string()), ("embedding", pa.list_(pa.float32()))])


def plan(table: Path, config: Config, work: Path) -> list[PackedShard]:
    """Read, cut and pack a table's rows; write the manifests."""
    policy, packing, options = (kind.of(config) for kind in (ChunkPolicy, Packing, RequestOptions))
    shards, position = [], 0
    for number, batch in enumerate(pq.ParquetFile(table).iter_batches(batch_size=_STRIPE)):
        chunks = []
        for key, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            item = Item(key, str(table), Position(position), text=text)
            chunks += chunk_text_item(item, text, policy).chunks
            position += 1
        for shard in pack_stripe(manifest_of(chunks, options), number, packing):
            path = work / f"{shard.plan.shard}.manifest"
            pq.write_table(shard.manifest, path, compression="zstd", write_statistics=False)
            shards.append(shard)
    return shards


def submit(client: httpx.Client, config: Config, shard: PackedShard, work: Path) -> str:
    """Write a shard's requests, upload them, create its job; returns the job's name."""
    texts, requests = shard.manifest.column("text").to_pylist(), work / "requests.jsonl"
    canaries = plan_canaries(shard.plan.requests)
    twins = {canary.ordinal: canary.twin for canary in canaries}
    with requests.open("wb") as file:
        for ordinal in wire_order(shard.plan.requests, canaries):
            text = f"title: none | text: {texts[twins.get(ordinal, ordinal)]}"
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
    matrix, keys, count = np.empty((_ROWS, dimensions), np.float32), list[str](), 0
    parser = simdjson.Parser()
    with pq.ParquetWriter(
        part,
        _SCHEMA,
        compression="zstd",
        use_dictionary=False,
        use_byte_stream_split=["embedding.list.element"],
        write_statistics=False,
    ) as writer:
        for line in _lines(client, files):
            answer = parser.parse(line)
            values = answer["response"]["embedding"]["values"].as_buffer(of_type="d")
            matrix[len(keys)] = np.frombuffer(values)
            keys.append(answer["key"])
            # The parser is used again only when nothing refers to its document.
            del answer
            if len(keys) == _ROWS:
                writer.write_table(_block(keys, matrix))
                count, keys = count + len(keys), []
        writer.write_table(_block(keys, matrix[: len(keys)]))
    return count + len(keys)


def _lines(client: httpx.Client, files: Iterable[str]) -> Iterator[bytes]:
    for name in files:
        rest = b""
        with client.stream("GET", f"/v1beta/{name}:download?alt=media") as response:
            for chunk in response.iter_raw():
                first, *others = chunk.split(b"\n")
                rest += first
                for other in others:
                    yield rest
                    rest = other
        if rest:
            yield rest


def _block(keys: list[str], matrix: np.ndarray) -> pa.Table:
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    count, dimensions = matrix.shape
    offsets = np.arange(0, (count + 1) * dimensions, dimensions, dtype=np.int32)
    vectors = pa.ListArray.from_arrays(offsets, pa.array(matrix.reshape(-1)))
    return pa.table([pa.array(keys), vectors], schema=_SCHEMA)
