"""A manifest with every kind of line, and files with sidecars, through the emulator to rows."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from e2e.harness import Project, Remote, emulator, invoke, run_with


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with emulator() as remote:
        yield remote


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 90, 200)).save(out, "PNG")
    return out.getvalue()


def data_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def lines() -> list[dict[str, Any]]:
    mixed = [{"text": "A red boat."}, {"uri": "corpus/p.png"}, {"uri": data_uri(picture(9))}]
    return [
        {"key": "words", "text": "A harbour in the morning.", "title": "Harbour"},
        {"key": "file", "uri": "corpus/note.txt", "metadata": {"shelf": 4}},
        {"key": "photo", "uri": "corpus/p.png", "title": "Boat"},
        {"key": "given", "uri": data_uri(picture(30))},
        {"key": "given-text", "uri": "data:,A%20short%20word."},
        {"key": "mixed", "parts": mixed, "title": "Boat"},
        {"key": "same", "parts": mixed, "title": "Boat"},
        {"key": "gone", "uri": "corpus/nothing.png"},
        {"key": "half-gone", "parts": [{"text": "x"}, {"uri": "corpus/nothing.png"}]},
        {"key": "many", "parts": [{"uri": "corpus/p.png"}] * 7},
        {"key": "bad-data", "uri": "data:;base64,!!"},
        {"key": "ftp", "uri": "ftp://host/x"},
        {"key": "web", "uri": "https://127.0.0.1:1/x"},
        {"key": "typo", "txt": "x"},
    ]


def project_of(folder: Path, remote: Remote, name: str = "m.jsonl", **source: Any) -> Project:
    settings = {"source": {"files": [], "manifest": [name], **source}}
    project = Project(folder, remote.url, settings)
    return project.write({"note.txt": "Words of a note.", "p.png": picture(200)})


def write_lines(folder: Path) -> None:
    text = "\r\n".join(json.dumps(line) for line in lines())
    (folder / "m.jsonl").write_text("\ufeff" + text + "\r\n\r\n{broken", encoding="utf-8")


def test_every_kind_of_line(tmp_path: Path, remote: Remote) -> None:
    project = project_of(tmp_path, remote, https=True)
    write_lines(tmp_path)
    results = run_with(project, lambda: None)
    assert results.reasons() == {
        "gone": "source_missing",
        "half-gone": "source_missing",
        "many": "parts_over_limit",
        "bad-data": "bad_uri",
        "ftp": "unsupported_uri",
        "web": "uri_not_allowed",
        "m.jsonl:14": "bad_line",
        "m.jsonl:16": "bad_line",
    }
    rows = {row["key"]: row for row in results.rows()}
    wanted = ["words", "file", "photo", "given", "given-text", "mixed", "same"]
    assert list(rows) == wanted
    assert [rows[key]["source_index"] for key in wanted] == list(range(7))
    assert [rows[key]["modality"] for key in wanted] == [
        *("text", "text", "image", "image", "text", "mixed", "mixed"),
    ]
    assert (rows["file"]["text"], rows["file"]["metadata"]) == ("Words of a note.", '{"shelf":4}')
    assert (rows["photo"]["title"], rows["mixed"]["text"]) == ("Boat", "A red boat.")
    assert rows["photo"]["generation"]
    assert rows["given"]["source_uri"] == f"{tmp_path}/m.jsonl:4"
    assert all("base64" not in str(row) for row in rows.values())
    assert rows["mixed"]["embedding"] == rows["same"]["embedding"]
    report = results.report
    assert report["tokens"].keys() == {"text", "image"}
    # Two pictures alone and two in the one mixed request, whose count is spread as estimated.
    assert 258 * 3.9 < report["tokens"]["image"] < 258 * 6.1
    # Again: nothing is new, so nothing is sent.
    before = len(remote.jobs())
    again = invoke("run", project.config, "--json")
    assert (again.code, len(remote.jobs())) == (0, before)
    assert again.json()["already"]


def test_what_changes_after_the_plan_is_refused(tmp_path: Path, remote: Remote) -> None:
    project = project_of(tmp_path, remote)
    (tmp_path / "m.jsonl").write_text(
        "\n".join(
            json.dumps(line) for line in lines() if line["key"] in ("words", "photo", "mixed")
        )
    )
    results = run_with(project, lambda: (tmp_path / "corpus" / "p.png").write_bytes(picture(1)))
    assert results.reasons() == {"photo": "source_changed", "mixed": "source_changed"}


def test_rows_of_a_table_name_places_too(tmp_path: Path, remote: Remote) -> None:
    parquet = {"files": ["t.parquet"], "key": "id", "uri": "place"}
    project = project_of(tmp_path, remote, manifest=[], parquet=parquet)
    places = ["corpus/note.txt", data_uri(picture(3)), "s3://b/o"]
    pq.write_table(pa.table({"id": ["a", "b", "c"], "place": places}), tmp_path / "t.parquet")
    results = run_with(project, lambda: None)
    rows = {row["key"]: row for row in results.rows()}
    assert rows["a"]["source_uri"] == str(tmp_path / "corpus/note.txt")
    assert rows["b"]["source_uri"] == f"{tmp_path}/t.parquet#1.0"
    assert results.reasons() == {"c": "unsupported_uri"}


def test_doubled_keys_cost_nothing(tmp_path: Path, remote: Remote) -> None:
    project = project_of(tmp_path, remote, "m.csv")
    (tmp_path / "m.csv").write_text("key,text\na,x\nb,x\na,y\n")
    before = len(remote.jobs())
    refused = invoke("run", project.config)
    assert refused.code == 2
    assert "'a' (2 times, at m.csv:2, m.csv:4)" in refused.err
    assert len(remote.jobs()) == before


def test_titles_from_sidecars(tmp_path: Path, remote: Remote) -> None:
    settings = {"source": {"sidecar": "json"}}
    project = Project(tmp_path, remote.url, settings)
    project.write({"a.txt": "words", "a.txt.json": '{"key": "k", "title": "T"}', "b.txt": "more"})
    results = run_with(project, lambda: None)
    assert {row["key"]: row["title"] for row in results.rows()} == {"corpus/b.txt": "b", "k": "T"}
