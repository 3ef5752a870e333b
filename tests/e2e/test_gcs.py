"""The main job with everything in a bucket: source, ledger, vectors, rejects and logs."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.cloud.storage as storage
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.auth.credentials import AnonymousCredentials

from e2e.harness import Project, Remote, invoke, reembed, run_with, texts
from support.gcs import GcsServer, start_gcs

pytestmark = pytest.mark.gcs

_numbers = itertools.count()
ODD = ["with blanks.txt", "list[0]*?.txt", "100%25 #7.txt", "größe/日本語 🐝.txt", "a//b.txt"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    with start_gcs(tmp_path_factory.mktemp("gcs")) as started:
        yield started


@pytest.fixture
def bucket(server: GcsServer) -> storage.Bucket:
    """An empty bucket of the test's own."""
    name = f"bucket-{next(_numbers)}"
    server.make_bucket(name)
    client = storage.Client(
        project="test",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.url},
    )
    return client.bucket(name)


def job_in(bucket: storage.Bucket, folder: Path, remote: Remote, **settings: Any) -> Project:
    places = {
        "run_dir": f"gs://{bucket.name}/runs/one",
        "source": {"files": [f"gs://{bucket.name}/corpus/**"]},
    }
    return Project(folder, remote.url, {**places, **settings})


def put(bucket: storage.Bucket, name: str, data: bytes | str) -> None:
    bucket.blob(name).upload_from_string(data)


def table_of(bucket: storage.Bucket, prefix: str) -> pa.Table:
    blobs = sorted(bucket.list_blobs(prefix=f"runs/one/{prefix}/"), key=lambda blob: blob.name)
    return pa.concat_tables(pq.read_table(io.BytesIO(b.download_as_bytes())) for b in blobs)


def test_a_bucket_to_vectors(
    bucket: storage.Bucket, remote: Remote, tmp_path: Path, corpus: Path
) -> None:
    files: dict[str, bytes | str] = {f"corpus/{name}": f"Odd: {name}" for name in ODD}
    for name in ("pictures/map-1.png", "sounds/rain-1.mp3", "films/bouncing ball.mp4"):
        files[f"corpus/{name}"] = (corpus / name).read_bytes()
    files["corpus/paper.pdf"] = (corpus / "documents" / "a year with the bees.pdf").read_bytes()
    files["corpus/page.html"] = "<html><body><article><p>A paragraph of it.</p></article></body>"
    files["corpus/empty.txt"] = b""
    files["elsewhere/not listed.txt"] = "not in the pattern"
    for name, data in files.items():
        put(bucket, name, data)
    job = job_in(bucket, tmp_path, remote, batch={"max_requests": 20})
    done = reembed("run", job.config)
    assert done.code == 0, done.err
    assert "Warning" not in done.err

    rows = table_of(bucket, "vectors").to_pylist()
    listed = {f"gs://{bucket.name}/{name}" for name in files if name.startswith("corpus/")}
    empty = f"gs://{bucket.name}/corpus/empty.txt"
    assert {row["key"] for row in rows} == listed - {empty}
    assert [(r["source_index"], r["part"]) for r in rows] == sorted(
        (r["source_index"], r["part"]) for r in rows
    )
    odd = {row["key"].split("/corpus/")[1]: row["text"] for row in rows if row["text"]}
    assert {name: odd[name] for name in ODD} == {name: f"Odd: {name}" for name in ODD}
    rejects = table_of(bucket, "rejects").to_pylist()
    assert [(row["key"], row["reason"]) for row in rejects] == [(empty, "empty_file")]
    assert all(row["generation"].isdigit() for row in rows), "the object's own generation"

    names = {blob.name for blob in bucket.list_blobs(prefix="runs/one/")}
    report = json.loads(bucket.blob("runs/one/report.json").download_as_bytes())
    assert report["planned"] == report["rows"] + report["rejects"] == len(rows) + 1
    assert "runs/one/ledger/commit.0001" in names
    assert any(name.startswith("runs/one/logs/") for name in names)
    assert any(name.startswith("runs/one/extracted/") for name in names)
    assert not [name for name in names if "/work/" in name]
    status = reembed("status", job.config, "--json")
    assert (status.code, status.json()["state"]) == (0, "settled")
    again = invoke("run", job.config, "--json")
    assert again.json()["already"] is True


def test_objects_replaced_or_deleted_after_the_plan(
    bucket: storage.Bucket, remote: Remote, tmp_path: Path, corpus: Path
) -> None:
    pictures = sorted((corpus / "pictures").glob("*.png"))[:5]
    first, *others, second = (path.read_bytes() for path in pictures)
    named = ("same bytes again", "kept", "replaced", "deleted")
    for name, data in zip(named, (first, *others), strict=True):
        put(bucket, f"corpus/{name}.png", data)
    # What asks for the same as another is sent with whichever of them is still there.
    put(bucket, "corpus/deleted twin.png", others[-1])
    job = job_in(bucket, tmp_path, remote)

    def change() -> None:
        put(bucket, "corpus/replaced.png", second)
        put(bucket, "corpus/same bytes again.png", first)
        bucket.blob("corpus/deleted.png").delete()

    loaded_dir = f"gs://{bucket.name}/corpus/"
    run_with(job, change)
    rejects = table_of(bucket, "rejects").to_pylist()
    assert {row["key"].removeprefix(loaded_dir): row["reason"] for row in rejects} == {
        "replaced.png": "source_changed",
        "same bytes again.png": "source_changed",
    }
    assert [row["key"] for row in table_of(bucket, "vectors").to_pylist()] == [
        f"{loaded_dir}{name}.png" for name in ("deleted twin", "deleted", "kept")
    ]


def test_a_capped_run_in_a_bucket_is_finished_by_another_call(
    bucket: storage.Bucket, remote: Remote, tmp_path: Path
) -> None:
    for name, text in texts(30).items():
        put(bucket, f"corpus/{name}", text)
    job = job_in(bucket, tmp_path, remote, batch={"max_requests": 12})
    cap = invoke("plan", job.config, "--json").json()["usd_batch"] * 0.6
    assert invoke("run", job.config, "--max-usd", f"{cap:.9f}").code == 75
    report = invoke("run", job.config, "--json").json()
    assert report["rows"] == 30
    assert len(remote.jobs_of(report["run"])) == report["jobs"] == report["shards"]


def test_patterns_and_buckets_that_are_not_there(
    bucket: storage.Bucket, remote: Remote, tmp_path: Path
) -> None:
    put(bucket, "corpus/a.txt", "words")
    for pattern in (f"gs://{bucket.name}/nothing/**", "gs://no-such-bucket-here/**"):
        job = job_in(bucket, tmp_path, remote, source={"files": [pattern]})
        done = invoke("run", job.config)
        assert done.code == 2
        assert pattern.rstrip("*/") in done.err.splitlines()[-1]
        assert "Traceback" not in done.err


def test_a_manifest_in_a_bucket_names_objects(
    bucket: storage.Bucket, remote: Remote, tmp_path: Path, corpus: Path
) -> None:
    place = f"gs://{bucket.name}"
    put(bucket, "map.png", (corpus / "pictures" / "map-1.png").read_bytes())
    put(bucket, "note.txt", "Words of a note.")
    parts = [{"text": "A map."}, {"uri": f"{place}/map.png"}]
    lines = [
        {"key": "map", "uri": f"{place}/map.png"},
        {"key": "note", "uri": f"{place}/note.txt"},
        {"key": "both", "parts": parts},
        {"key": "gone", "uri": f"{place}/nothing"},
        {"key": "local", "uri": "/etc/hostname"},
    ]
    put(bucket, "m.jsonl", "\n".join(map(json.dumps, lines)))
    source = {"files": [], "manifest": [f"{place}/m.jsonl"]}
    job = job_in(bucket, tmp_path, remote, source=source)
    done = invoke("run", job.config, "--json")
    assert done.code == 0, done.err
    rows = {row["key"]: row for row in table_of(bucket, "vectors").to_pylist()}
    assert [rows[key]["modality"] for key in ("map", "note", "both")] == ["image", "text", "mixed"]
    blob = bucket.get_blob("map.png")
    assert blob is not None
    assert rows["map"]["generation"] == str(blob.generation)
    rejects = {row["key"]: row["reason"] for row in table_of(bucket, "rejects").to_pylist()}
    assert rejects == {"gone": "source_missing", "local": "uri_not_allowed"}
