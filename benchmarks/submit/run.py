"""Measure submitting (manifest, JSONL, upload) against a script with orjson and httpx."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.names import wire_key
from reembed.core.pack import shard_fingerprint
from reembed.core.plans import PartitionPlan
from reembed.driver.render import Renderer
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.layout import Layout
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.wire import GeminiWire
from reembed.runs.plan import make_plan
from reembed.storage.content import ContentReader
from reembed.storage.open import open_storage
from sides import Stopwatch, compare, interleave, keep, pin, run_side, table
from texts import make_table

_SIDES = ("script", "product")
_CHUNK = 8 << 20
_KEY = "benchmark-0123456789-0123456789-0123456"


def main() -> None:
    options = _options()
    if options.side:
        (_script if options.side == "script" else _product)(options.folder, options.url)
        return
    with tempfile.TemporaryDirectory(prefix="submit-", dir=options.folder) as name:
        _plan(Path(name), options.rows, options.characters)
        with _server() as url:

            def run(side: str) -> dict[str, float]:
                return run_side([__file__, "--side", side, "--url", url, "--folder", name])

            measured = interleave(_SIDES, options.rounds, run)
    table(measured, "texts")
    what = f"submit, texts of {options.characters:,} characters, against orjson and httpx"
    keep([compare(measured, "product", "script", what, "≥ 0.8 ×")], options.marks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--characters", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: temporary)")
    parser.add_argument("--marks", type=Path, help="a file for the ratios")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).parent / "server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=pin(0)) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def _loaded(folder: Path) -> ResolvedConfig:
    """A project with room for jobs of some thousand texts."""
    data = {
        "name": "submit",
        "run_dir": "./run",
        "source": {"parquet": {"files": ["table.parquet"], "key": "id", "text": "body"}},
        "batch": {"enqueued_tokens": 100_000_000},
    }
    return config_from_mapping(orjson.loads(orjson.dumps(data)), folder)


def _plan(folder: Path, rows: int, characters: int) -> None:
    make_table(folder / "table.parquet", rows, characters)
    summary = make_plan(_loaded(folder))
    (folder / "plan").write_text(summary.plan)


def _partitions(folder: Path) -> tuple[Layout, str, list[PartitionPlan]]:
    layout = Layout(_loaded(folder).config.run_dir)
    plan = (folder / "plan").read_text()
    names = [stat.uri for stat in open_storage().list(layout.partitions(plan))]
    return layout, plan, [PartitionPlan.decode(Path(name).read_bytes(), name) for name in names]


def _product(folder: Path, url: str) -> None:
    config = _loaded(folder).config
    layout, plan, partitions = _partitions(folder)
    places = ContentReader.of(config.source, open_storage(), layout.inline_media())
    renderer = Renderer(places, ChunkPolicy.of(config), GeminiWire.of(config), False)
    requests = folder / "product.jsonl"
    count = size = 0
    with GeminiService(url, "v1beta", _KEY, 60.0) as service:
        # Connections, certificates and late imports are paid once a process, on both sides.
        requests.write_bytes(b"{}\n")
        service.upload(requests, "files/product-first", "application/jsonl")
        watch = Stopwatch()
        for shard in (shard for partition in partitions for shard in partition.shards):
            with places.storage.open(layout.manifest(plan, shard.shard)) as stream:
                manifest = pq.read_table(stream)
            model = config.model
            found = shard_fingerprint(manifest, model.name, model.task, model.dimensions)
            assert found == shard.fingerprint
            prepared, unsent = renderer.render(shard, manifest, None, requests)
            assert not unsent
            service.upload(requests, f"files/product-{shard.shard}", "application/jsonl")
            count, size = count + prepared.sent, size + prepared.size
    watch.report(count, sent=size)


def _script(folder: Path, url: str) -> None:
    """Read the manifest, write each request with orjson, send the file in chunks."""
    layout, plan, partitions = _partitions(folder)
    requests = folder / "script.jsonl"
    count = size = 0
    with httpx.Client(timeout=60) as client:
        requests.write_bytes(b"{}\n")
        _send(client, url, requests, "files/script-first")
        watch = Stopwatch()
        for shard in (shard for partition in partitions for shard in partition.shards):
            table = pq.read_table(layout.manifest(plan, shard.shard), columns=["text"])
            texts = table.column("text").to_pylist()
            with requests.open("wb") as file:
                canaries = plan_canaries(shard.requests)
                originals = {canary.ordinal: canary.original for canary in canaries}
                for ordinal in wire_order(shard.requests, canaries):
                    text = f"title: none | text: {texts[originals.get(ordinal, ordinal)]}"
                    body = {"content": {"parts": [{"text": text}]}, "outputDimensionality": 3072}
                    key = wire_key(shard.fingerprint, ordinal)
                    file.write(orjson.dumps({"key": key, "request": body}) + b"\n")
                    count += 1
            size += _send(client, url, requests, f"files/script-{shard.shard}")
    watch.report(count, sent=size)


def _send(client: httpx.Client, url: str, path: Path, name: str) -> int:
    headers = {"x-goog-upload-protocol": "resumable", "x-goog-upload-command": "start"}
    begun = client.post(
        f"{url}/upload/v1beta/files", headers=headers, json={"file": {"name": name}}
    )
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset < size:
            chunk = file.read(_CHUNK)
            last = offset + len(chunk) == size
            headers = {
                "x-goog-upload-offset": str(offset),
                "x-goog-upload-command": "upload, finalize" if last else "upload",
            }
            address = begun.headers["x-goog-upload-url"]
            client.post(address, headers=headers, content=chunk).raise_for_status()
            offset += len(chunk)
    return size


if __name__ == "__main__":
    main()
