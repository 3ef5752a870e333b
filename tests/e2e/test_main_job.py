"""The main job on all five modalities, by the real command and in this process."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from e2e.harness import Done, Project, Remote, Results, invoke, reembed
from reembed.config.load import load_config
from reembed.core.manifest import recipe_from_json
from reembed.core.schema import REJECT, ROW
from reembed.core.wire import MediaPart, TextPart
from reembed.formats.policy import ChunkPolicy
from reembed.formats.render import render
from reembed.providers.gemini.client import open_service
from reembed.providers.gemini.requests import (
    RequestOptions,
    embed_request,
    to_json,
)

SETTINGS = {
    "batch": {"max_requests": 40},
    "chunking": {
        "text": {"max_tokens": 256, "overlap_tokens": 32},
        "video": {"soundtrack": "separate"},
    },
}
REJECTED = {
    "corpus/broken/archive.zip": "unsupported_type",
    "corpus/broken/blank.md": "blank_text",
    "corpus/broken/document cut short.pdf": "pdf_damaged",
    "corpus/broken/empty.txt": "empty_file",
    "corpus/broken/film cut short.mp4": "video_unreadable",
    "corpus/broken/half a picture.png": "image_truncated",
    "corpus/broken/locked.pdf": "pdf_encrypted",
    "corpus/broken/only a header.wav": "audio_no_samples",
    "corpus/broken/random bytes.txt": "not_text",
}
REPORT_FIELDS = {
    "name", "run", "state", "items", "planned", "rows", "rejects", "skipped", "shards", "jobs",
    "attempts", "tokens", "usd", "seconds", "query_contract",
}  # fmt: skip
# What two runs of one configuration over the same input may differ in.
OF_THE_RUN = ["run", "job", "embedded_at"]


@dataclass(frozen=True)
class Ran:
    project: Project
    done: Done
    results: Results
    files: list[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, remote: Remote, corpus: Path) -> Ran:
    """One run by the real command, which many tests look at."""
    folder = tmp_path_factory.mktemp("job")
    (folder / "corpus").symlink_to(corpus)
    project = Project(folder, remote.url, SETTINGS)
    done = reembed("run", project.config)
    assert done.code == 0, done.err + done.out
    files = sorted(f"corpus/{p.relative_to(corpus)}" for p in corpus.rglob("*") if p.is_file())
    return Ran(project, done, project.results(), files)


@pytest.fixture(scope="module")
def again(ran: Ran) -> Results:
    """The same configuration in another folder, run in this process."""
    other = ran.project.folder / "run-again"
    done = invoke("run", ran.project.config, "--run-dir", other)
    assert done.code == 0, done.err
    return ran.project.results(other)


def test_every_item_is_a_row_or_a_reject(ran: Ran) -> None:
    rows, rejects = ran.results.rows(), ran.results.rejects()
    assert {row["key"] for row in rows} | {row["key"] for row in rejects} == set(ran.files)
    assert not {row["key"] for row in rows} & {row["key"] for row in rejects}
    assert ran.results.reasons() == REJECTED
    assert {row["modality"] for row in rows} == {"text", "image", "audio", "video", "pdf"}
    assert all(len(row["message"]) > 20 and row["stage"] == "chunk" for row in rejects)


def test_every_part_of_an_item_is_there_once(ran: Ran) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}
    for row in ran.results.rows():
        seen.setdefault(row["key"], []).append((row["part"], row["parts"]))
    for key, parts in seen.items():
        assert parts == [(part, len(parts)) for part in range(len(parts))], key
    assert max(len(parts) for parts in seen.values()) > 3


def test_the_counts_close_in_the_report_the_files_and_the_words(ran: Ran) -> None:
    report, results = ran.results.report, ran.results
    assert report["planned"] == report["rows"] + report["rejects"] + report["skipped"]
    assert report["rows"] == sum(pq.read_metadata(part).num_rows for part in results.parts)
    assert report["rejects"] == len(results.rejects()) == len(REJECTED)
    assert report["items"] == len(ran.files)
    said = f"planned {report['planned']} = rows {report['rows']} + rejects 9 + skipped 0"
    assert said in ran.done.out


def test_the_report_has_the_promised_fields(ran: Ran) -> None:
    report = ran.results.report
    assert set(report) >= REPORT_FIELDS
    assert report["state"] == "settled"
    assert report["name"] == "harness"
    assert report["jobs"] == report["attempts"] == report["shards"] == len(ran.results.parts) > 2
    assert set(report["tokens"]) == {"text", "image", "audio", "video", "pdf"}
    assert 0 < report["usd"] <= report["usd_reserved"] < 1
    assert report["reject_reasons"] == dict(Counter(REJECTED.values()))
    assert report["query_contract"]["request"]["outputDimensionality"] == 768


def test_nothing_but_its_own_words_is_printed(ran: Ran) -> None:
    assert "Warning" not in ran.done.err
    assert "Traceback" not in ran.done.err + ran.done.out
    assert len(ran.done.err.splitlines()) <= 4, ran.done.err
    assert (ran.results.run_dir / "logs" / "reembed.log").stat().st_size > 0


def test_rows_stand_in_input_order_over_all_parts(ran: Ran) -> None:
    table = ran.results.table()
    places = [(r["source_index"], r["offset"], r["part"]) for r in _light(ran.results)]
    assert places == sorted(set(places))
    keys = list(dict.fromkeys(table.column("key").to_pylist()))
    assert keys == sorted(keys)
    assert ran.files == sorted(ran.files)
    assert all(ran.files[index] == key for index, _, _, key in _places(ran.results))


def _light(results: Results) -> list[dict[str, object]]:
    return list(results.table().drop_columns(["embedding"]).to_pylist())


def _places(results: Results) -> Iterator[tuple[int, int, int, str]]:
    for row in _light(results):
        yield row["source_index"], row["offset"], row["part"], row["key"]


def test_rows_and_rejects_have_the_schema_and_say_where_they_come_from(ran: Ran) -> None:
    for part in ran.results.parts:
        assert pq.read_schema(part).equals(ROW, check_metadata=False)
        said = pq.read_metadata(part).metadata
        words = b" ".join(said.values()).decode(errors="replace")
        for wanted in (
            ran.results.report["run"],
            "gemini-embedding-2",
            "768",
            "retrieval_document",
        ):
            assert wanted in words, wanted
        assert pq.read_metadata(part).row_group(0).column(0).compression == "ZSTD"
    for path in sorted((ran.results.run_dir / "rejects").glob("*")):
        assert pq.read_schema(path).equals(REJECT, check_metadata=False)
    row = _light(ran.results)[0]
    assert (row["run"], row["dimensions"], row["attempt"]) == (ran.results.report["run"], 768, "0")


def test_vectors_have_unit_length(ran: Ran) -> None:
    vectors = _vectors(ran.results)
    assert vectors.dtype == np.float32
    assert vectors.shape == (ran.results.report["rows"], 768)
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6


def _vectors(results: Results) -> np.ndarray:
    flat = results.table().column("embedding").combine_chunks().flatten()
    return flat.to_numpy().reshape(-1, 768)


def test_offsets_cut_the_very_chunk(ran: Ran, corpus: Path) -> None:
    texts = [row for row in _light(ran.results) if row["modality"] == "text"]
    extracted = 0
    for row in texts:
        data = (corpus.parent / str(row["key"])).read_bytes()
        stored = ran.results.run_dir / "extracted" / f"{hashlib.sha256(data).hexdigest()}.txt"
        if stored.exists():
            extracted += 1
            source = stored.read_bytes().decode()
        else:
            source = _decoded(data)
        start, end = row["start"], row["end"]
        assert row["unit"] == "char"
        assert source[int(start) : int(end)] == row["text"], row["key"]  # type: ignore[call-overload]
    assert extracted >= 5, "no HTML was extracted: this test looks at half of it"
    assert sum(row["part"] > 0 for row in texts) > 5


def _decoded(data: bytes) -> str:
    """Decode as the files say of themselves; the corpus has one legacy encoding."""
    for mark, name in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if data.startswith(mark):
            return data[len(mark) :].decode(name)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252")


def test_extents_of_media_lie_within_their_items(ran: Ran) -> None:
    for row in _light(ran.results):
        kind, start, end = row["modality"], row["start"], row["end"]
        if kind == "image":
            assert start is end is row["unit"] is None
        elif kind == "pdf":
            assert row["unit"] == "page"
            assert 1 <= start <= end <= start + 5
        elif kind in ("audio", "video"):
            assert row["unit"] == "second"
            assert 0 <= start < end
            assert end - start <= {"audio": 180.01, "video": 120.01}[str(kind)]


def test_vectors_stand_under_the_right_keys(ran: Ran) -> None:
    """Ask the online call for every text and some media again; the batch's answer is the same."""
    config = load_config(ran.project.config).config
    policy, options = ChunkPolicy.of(config), RequestOptions.of(config)
    vectors = _vectors(ran.results)
    checked: Counter[str] = Counter()
    manifests = _manifests(ran.results)
    with open_service(config.service, "local", {}) as service:
        for number, row in enumerate(_light(ran.results)):
            kind = str(row["modality"])
            if kind != "text" and checked[kind] >= 4:
                continue
            checked[kind] += 1
            planned = manifests[(row["key"], row["part"])]
            if planned["recipe"] is None:
                part: TextPart | MediaPart = TextPart(str(row["text"]), planned["title"])
            else:
                recipe = recipe_from_json(planned["recipe"])
                with Path(str(row["source_uri"])).open("rb") as source:
                    part = MediaPart(render(recipe, source, policy), recipe.mime_type)
            online = np.asarray(service.embed(options.model, to_json(embed_request(part, options))))
            likeness = vectors[number] @ online / np.linalg.norm(online)
            assert likeness > 0.99999, (row["key"], row["part"], likeness)
    assert checked["text"] > 50
    assert all(checked[kind] == 4 for kind in ("image", "audio", "video", "pdf"))
    # Different texts have different vectors: agreement would else say nothing.
    texts = vectors[[r["modality"] == "text" and r["parts"] == 1 for r in _light(ran.results)]]
    near = texts @ texts.T - 2 * np.eye(len(texts))
    assert near.max() < 0.999


def _manifests(results: Results) -> dict[tuple[object, object], dict[str, Any]]:
    paths = sorted(results.run_dir.glob("plans/*/shards/*.parquet"))
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return {(row["key"], row["part"]): row for row in rows}


def test_titles_and_warnings_reach_the_rows(ran: Ran) -> None:
    rows = {row["key"]: row for row in _light(ran.results) if row["part"] == 0}
    assert all(row["title"] for row in rows.values())
    warned = rows["corpus/pictures/sunset, a JPEG called.png"]
    assert warned["mime_type"] == "image/jpeg"
    assert warned["warnings"]
    assert not rows["corpus/pictures/sunset 1.png"]["warnings"]


def test_bytes_of_media_are_in_no_record_of_the_plan(ran: Ran, corpus: Path) -> None:
    plan = sum(path.stat().st_size for path in ran.results.run_dir.glob("plans/**/*.parquet"))
    media = sum(
        path.stat().st_size for path in corpus.rglob("*") if path.suffix in (".png", ".mp3", ".mp4")
    )
    assert plan < media / 4
    for row in _manifests(ran.results).values():
        assert row["modality"] == "text" or row["text"] is None


def test_input_files_are_deleted_and_every_vector_was_paid_once(ran: Ran, remote: Remote) -> None:
    report = ran.results.report
    jobs = remote.jobs_of(report["run"])
    assert len(jobs) == report["jobs"]
    assert len({job["display_name"] for job in jobs}) == len(jobs)
    config = load_config(ran.project.config).config
    with open_service(config.service, "local", {}) as service:
        left = {file.name for file in service.list_files()}
    assert not [name for name in left if name.startswith(f"files/re-{report['run'][:8]}")]


def test_polling_waits_between_its_requests(ran: Ran, remote: Remote) -> None:
    report = ran.results.report
    jobs = report["jobs"]
    # Each job: some polls by the interval, one at the fetch; a busy loop would make thousands.
    polls = remote.count("batches.get")
    assert polls <= jobs * (report["seconds"] / 0.1 + 2) * 3


def test_the_same_configuration_gives_the_same_rows(ran: Ran, again: Results) -> None:
    one, two = ran.results, again
    assert [part.name for part in one.parts] == [part.name for part in two.parts]
    assert one.table().drop_columns(OF_THE_RUN).equals(two.table().drop_columns(OF_THE_RUN))
    assert one.report["run"] != two.report["run"]
    assert one.report["plan"] == two.report["plan"]
    assert one.report["tokens"] == two.report["tokens"]
    assert _fingerprints(one) == _fingerprints(two)
    assert _without_run(one.rejects()) == _without_run(two.rejects())


def _fingerprints(results: Results) -> list[bytes]:
    return [path.read_bytes() for path in sorted(results.run_dir.glob("plans/*/partitions/*.json"))]


def _without_run(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "run"} for row in rows]


def test_a_settled_run_is_not_paid_again(ran: Ran, remote: Remote, again: Results) -> None:
    before = remote.count("batches.create", "upload.start")
    done = invoke("run", ran.project.config)
    assert done.code == 0
    assert "settled already" in done.out
    assert remote.count("batches.create", "upload.start") == before
    told = invoke("run", ran.project.config, "--json").json()
    assert told["already"] is True
    assert told["run"] == ran.results.report["run"]


def test_duckdb_pandas_and_polars_read_the_parts(ran: Ran) -> None:
    import duckdb

    count, pattern = ran.results.report["rows"], f"{ran.results.run_dir}/vectors/*.parquet"
    found = duckdb.sql(
        f"select count(*), min(len(embedding)),"
        f" max(abs(list_dot_product(embedding, embedding) - 1)) from read_parquet('{pattern}')"
    ).fetchall()[0]
    assert found[:2] == (count, 768)
    assert found[2] < 1e-5
    readers = "run ./scripts/setup --readers"
    pd = pytest.importorskip("pandas", reason=readers)
    pl = pytest.importorskip("polars", reason=readers)
    frame = pd.read_parquet(ran.results.run_dir / "vectors")
    assert len(frame) == count
    assert len(frame["embedding"].iloc[0]) == 768
    polar = pl.read_parquet(pattern)
    assert polar.height == count
    assert polar.schema["embedding"] == pl.List(pl.Float32)


def test_near_texts_are_neighbours(ran: Ran) -> None:
    """The vectors mean something: of the bee texts, most have another bee text nearest."""
    rows = _light(ran.results)
    places = [n for n, row in enumerate(rows) if row["modality"] == "text" and row["parts"] == 1]
    vectors = _vectors(ran.results)[places]
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    subject = [str(rows[n]["key"]).split("/")[-1].split("-")[0] for n in places]
    hits = [subject[near[n].argmax()] == name for n, name in enumerate(subject) if name == "bees"]
    assert len(hits) >= 3
    assert sum(hits) / len(hits) > 0.6
