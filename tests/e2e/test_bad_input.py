"""Bad input ends as a reject with a reason that a person can act on; nothing else suffers by it."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from e2e.harness import Project, Remote, invoke, one_line, run_with

GOOD = "The good neighbour of a bad file keeps its vector."


def picture(color: str, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    # Noise, so that half of the file is half of the picture.
    noise = Image.effect_noise((96, 64), 80).convert("RGB")
    Image.blend(noise, Image.new("RGB", (96, 64), color), 0.5).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="module")
def made(corpus: Path) -> dict[str, bytes]:
    """Good media of the demo's corpus, by a short name."""
    names = {
        "film.mp4": "films/bouncing ball.mp4",
        "sound.wav": "sounds/melody-1.wav",
        "paper.pdf": "documents/a year with the bees.pdf",
        "sound.mp3": "sounds/rain-1.mp3",
    }
    return {short: (corpus / name).read_bytes() for short, name in names.items()}


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.txt", "packed words")
    return out.getvalue()


def test_each_kind_of_damage_is_a_reject_with_its_reason(
    project: Callable[..., Project], made: dict[str, bytes]
) -> None:
    files: dict[str, bytes | str] = {
        "good.txt": GOOD,
        "good.png": picture("red"),
        "empty.txt": b"",
        "empty.mp4": b"",
        "blank.txt": " \n\t\n",
        "only a mark.txt": b"\xef\xbb\xbf",
        "cut.mp4": made["film.mp4"][: len(made["film.mp4"]) // 2],
        "half.png": picture("blue")[:5000],
        "cut.pdf": made["paper.pdf"][: len(made["paper.pdf"]) // 2],
        "header.wav": made["sound.wav"][:44],
        "packed.zip": archive(),
        "packed, called.txt": archive(),
        "noise.txt": bytes(range(128, 256)) * 7 + os.urandom(4000),
        "nul.txt": b"words\x00with\x00holes" * 40,
        "program.bin": b"\x7fELF" + bytes(200),
    }
    plain = project().write(files)
    done = invoke("run", plain.config)
    assert done.code == 0, done.err
    results = plain.results()
    assert sorted(row["key"] for row in results.rows()) == ["corpus/good.png", "corpus/good.txt"]
    reasons = results.reasons()
    assert reasons["corpus/empty.txt"] == reasons["corpus/empty.mp4"] == "empty_file"
    assert reasons["corpus/blank.txt"] == reasons["corpus/only a mark.txt"] == "blank_text"
    assert reasons["corpus/cut.mp4"] == "video_unreadable"
    assert reasons["corpus/half.png"] == "image_truncated"
    assert reasons["corpus/cut.pdf"] == "pdf_damaged"
    assert reasons["corpus/header.wav"] == "audio_no_samples"
    assert (
        reasons["corpus/packed.zip"] == reasons["corpus/packed, called.txt"] == "unsupported_type"
    )
    assert {"corpus/noise.txt", "corpus/nul.txt", "corpus/program.bin"} <= set(reasons)
    assert len(reasons) == len(files) - 2
    for reject in results.rejects():
        assert ";" in reject["message"] or ":" in reject["message"], reject
        assert reject["attempt"] == reject["job"] == "", "nothing was sent for it"


def test_only_bad_files_settle_without_a_job(
    project: Callable[..., Project], remote: Remote
) -> None:
    before = remote.count("batches.create", "upload.start")
    bad = project().write({"a.txt": b"", "b.txt": b"  "})
    done = invoke("run", bad.config)
    assert done.code == 0, done.err
    report = bad.results().report
    assert (report["rows"], report["rejects"], report["jobs"], report["usd"]) == (0, 2, 0, 0)
    assert remote.count("batches.create", "upload.start") == before


def test_names_with_blanks_wildcards_and_foreign_letters(project: Callable[..., Project]) -> None:
    names = [
        "with blanks.txt",
        "star*.txt",
        "what?.txt",
        "list[0].txt",
        "!{a,b}.txt",
        "tag #7.txt",
        "100%25.txt",
        "back\\slash.txt",
        "-dash.txt",
        "quote'\".txt",
        "new\nline.txt",
        "größe/münchen.txt",
        "日本語/東京.txt",
        "emoji 🐝.txt",
        "cafe\u0301.txt",
    ]
    odd = project().write({name: f"{GOOD} {number}" for number, name in enumerate(names)})
    done = invoke("run", odd.config)
    assert done.code == 0, done.err
    rows = {row["key"]: row["text"] for row in odd.results().rows()}
    assert rows == {f"corpus/{name}": f"{GOOD} {n}" for n, name in enumerate(names)}


def test_a_name_that_is_no_text_stops_before_anything_is_paid(
    project: Callable[..., Project], remote: Remote
) -> None:
    made = project().write({"a.txt": GOOD})
    Path(os.fsdecode(bytes(made.folder / "corpus") + b"/\xff\xfe.txt")).write_text("words")
    before = remote.count("batches.create", "upload.start")
    done = invoke("run", made.config)
    assert done.code == 2
    assert "not UTF-8" in one_line(done.err.splitlines()[-1])
    assert remote.count("batches.create", "upload.start") == before


def test_an_unreadable_file_is_a_reject(project: Callable[..., Project]) -> None:
    made = project().write({"good.txt": GOOD})
    folder = made.folder / "corpus"
    (folder / "gone.txt").symlink_to(folder / "nowhere.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    done = invoke("run", made.config)
    assert done.code == 0, done.err
    results = made.results()
    assert [row["key"] for row in results.rows()] == ["corpus/good.txt"]
    assert set(results.reasons()) == {"corpus/gone.txt", "corpus/loop.txt"}
    for reject in results.rejects():
        assert reject["stage"] == "read"
        assert reject["key"].split("/")[1] in reject["message"]


def test_media_that_change_after_the_plan_are_rejects(
    project: Callable[..., Project], made: dict[str, bytes]
) -> None:
    files: dict[str, bytes | str] = {
        "good.txt": GOOD,
        "kept.png": picture("green"),
        "gone.png": picture("red"),
        "other.png": picture("blue"),
        "longer.mp3": made["sound.mp3"],
        "converted.bmp": picture("orange", "BMP"),
        "a folder now.png": picture("white"),
    }
    job = project().write(files)
    corpus = job.folder / "corpus"

    def change() -> None:
        (corpus / "gone.png").unlink()
        (corpus / "other.png").write_bytes(picture("yellow"))
        (corpus / "longer.mp3").write_bytes(made["sound.mp3"] * 2)
        (corpus / "converted.bmp").write_bytes(picture("navy", "BMP"))
        (corpus / "a folder now.png").unlink()
        (corpus / "a folder now.png").mkdir()

    results = run_with(job, change)
    rows = sorted(row["key"] for row in results.rows())
    assert rows == ["corpus/good.txt", "corpus/kept.png"]
    assert set(results.reasons().values()) <= {"source_changed", "source_unreadable"}
    assert results.reasons()["corpus/gone.png"] == "source_changed"
    assert results.reasons()["corpus/other.png"] == "source_changed"
    for reject in results.rejects():
        assert "plan again" in reject["message"] or "cannot be read" in reject["message"]
        assert reject["stage"] == "submit"


def test_other_bytes_of_equal_size_and_time_are_found_by_their_hash(
    project: Callable[..., Project],
) -> None:
    job = project().write({"same.png": picture("green"), "good.txt": GOOD})
    path = job.folder / "corpus" / "same.png"
    before = path.stat()

    def change() -> None:
        data = bytearray(path.read_bytes())
        data[-20] ^= 0xFF
        path.write_bytes(bytes(data))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    results = run_with(job, change)
    assert results.reasons() == {"corpus/same.png": "source_changed"}


def test_texts_that_change_after_the_plan_are_embedded_as_planned(
    project: Callable[..., Project],
) -> None:
    job = project().write({"good.txt": GOOD})
    path = job.folder / "corpus" / "good.txt"
    results = run_with(job, path.unlink)
    assert [row["text"] for row in results.rows()] == [GOOD]


def test_a_run_whose_every_item_is_gone_ends_without_paying(
    project: Callable[..., Project], remote: Remote
) -> None:
    job = project().write({"a.png": picture("red"), "b.png": picture("blue")})
    before = remote.count("batches.create")

    def change() -> None:
        for path in (job.folder / "corpus").iterdir():
            path.unlink()

    results = run_with(job, change)
    assert results.report["rows"] == 0
    assert set(results.reasons().values()) == {"source_changed"}
    assert remote.count("batches.create") == before
    assert results.report["usd_reserved"] == 0


def test_a_model_of_texts_rejects_other_modalities(
    project: Callable[..., Project], made: dict[str, bytes]
) -> None:
    model = {"name": "gemini-embedding-001", "dimensions": 256}
    job = project(model=model).write({"good.txt": GOOD, "p.png": picture("red"), **made})
    done = invoke("run", job.config)
    assert done.code == 0, done.err
    results = job.results()
    row = results.rows()[0]
    assert (row["key"], row["model"]) == ("corpus/good.txt", "gemini-embedding-001")
    assert len(row["embedding"]) == 256
    assert set(results.reasons().values()) == {"modality_unsupported"}
    assert len(results.rejects()) == 1 + len(made)
    assert results.report["query_contract"]["request"]["taskType"] == "RETRIEVAL_QUERY"


def test_the_run_directory_is_no_input_of_its_own_run(project: Callable[..., Project]) -> None:
    job = project(source={"files": ["**"]}, run_dir="./corpus/run").write({"good.txt": GOOD})
    for _ in range(2):
        assert invoke("plan", job.config).code == 0
    done = invoke("run", job.config, "--json")
    assert done.code == 0, done.err
    keys = {row["key"] for row in job.results(job.folder / "corpus" / "run").rows()}
    assert keys == {"corpus/good.txt", "job.yaml"}
