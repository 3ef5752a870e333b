import os
import resource
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reembed.core.canaries import plan_canaries, wire_order
from reembed.core.rows import merge_rows
from reembed.destinations.parts import read_batches, write_part
from reembed.driver.intake import (
    ExpectedAnswer,
    Intake,
    PartOptions,
    VectorMemory,
    collect_part,
    collect_stream,
)
from reembed.errors import TransientError
from reembed.providers.gemini.answers import GeminiAnswerReader
from support.builders import FINGERPRINT, keyed, line, lineage, manifest, unit, vectors

READER = GeminiAnswerReader


@pytest.fixture(params=["memory", "spilled"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> VectorMemory:
    return VectorMemory(tmp_path, spill_above_bytes=1 << 20 if request.param == "memory" else 0)


def attempt(requests: int, ordinals: list[int] | None = None, path: str = "0") -> ExpectedAnswer:
    canaries = plan_canaries(requests) if ordinals is None else ()
    sent = ordinals or list(range(requests + len(canaries)))
    return ExpectedAnswer(manifest(range(requests)), FINGERPRINT, sent, canaries, lineage(8, path))


def answer(path: Path, requests: int, truth: np.ndarray, moved: int = 0) -> Path:
    """All requests and canaries, shuffled; with `moved`, each key has what stands further on."""
    canaries = plan_canaries(requests)
    content = {n: n for n in range(requests)} | {c.ordinal: c.original for c in canaries}
    wire = wire_order(requests, canaries)
    pairs = list(zip(wire, wire[moved:] + wire[:moved], strict=True))
    shuffled = np.random.default_rng(0).permutation(len(pairs)).tolist()
    lines = [keyed(pairs[n][0], truth[content[pairs[n][1]]].tolist()) for n in shuffled]
    path.write_bytes(b"".join(lines))
    return path


def test_an_answer_becomes_a_part_in_input_order(tmp_path: Path, room: VectorMemory) -> None:
    truth = vectors(120)
    collected = collect_part(
        attempt(120),
        answer(tmp_path / "a", 120, truth),
        tmp_path / "part",
        room,
        READER,
    )
    assert collected.verdict.ok
    assert collected.part is not None
    assert collected.part.rows == 120
    assert collected.joined.matrix.shape == (0, 8)
    assert collected.joined.ok.sum() == 122
    table = pq.read_table(tmp_path / "part")
    assert table["source_index"].to_pylist() == list(range(120))
    got = np.stack(table["embedding"].to_numpy())
    np.testing.assert_allclose(got, [unit(vector) for vector in truth], atol=1e-7)
    assert set(table["text"].to_pylist()) == {None}
    assert pq.read_schema(tmp_path / "part").metadata[b"reembed.chunkers"] == b"text/1"


def test_a_room_serves_shard_after_shard_of_any_size(tmp_path: Path, room: VectorMemory) -> None:
    for number, requests in enumerate([30, 90, 60]):
        truth = vectors(requests, seed=number)
        part = tmp_path / f"part-{number}"
        collect_part(
            attempt(requests),
            answer(tmp_path / "a", requests, truth),
            part,
            room,
            READER,
        )
        got = np.stack(pq.read_table(part)["embedding"].to_numpy())
        np.testing.assert_allclose(got, [unit(vector) for vector in truth], atol=1e-7)


def test_a_scrambled_answer_makes_no_part(tmp_path: Path, room: VectorMemory) -> None:
    path = answer(tmp_path / "a", 120, vectors(120), moved=1)
    collected = collect_part(attempt(120), path, tmp_path / "part", room, READER)
    assert [reason.code for reason in collected.verdict.reasons] == ["canary_differs"] * 2
    assert collected.part is None
    assert not (tmp_path / "part").exists()
    assert path.exists()


def test_an_answer_is_joined_as_it_comes_and_begins_again_if_told(
    tmp_path: Path, room: VectorMemory
) -> None:
    truth = vectors(120)
    whole = answer(tmp_path / "a", 120, truth).read_bytes()

    def pour(intake: Intake) -> None:
        intake.write(answer(tmp_path / "b", 120, truth, moved=1).read_bytes()[:9000])
        intake.rewind()
        for at in range(0, len(whole), 777):
            intake.write(whole[at : at + 777])

    collected = collect_stream(attempt(120), pour, tmp_path / "part", room, READER)
    assert collected.verdict.ok
    assert collected.joined.lines == 122
    got = np.stack(pq.read_table(tmp_path / "part")["embedding"].to_numpy())
    np.testing.assert_allclose(got, [unit(vector) for vector in truth], atol=1e-7)


def test_an_answer_that_breaks_off_makes_no_part(tmp_path: Path, room: VectorMemory) -> None:
    def pour(intake: Intake) -> None:
        intake.write(answer(tmp_path / "a", 120, vectors(120)).read_bytes()[:9000])
        raise TransientError("cut")

    with pytest.raises(TransientError):
        collect_stream(attempt(120), pour, tmp_path / "part", room, READER)
    assert not (tmp_path / "part").exists()


def test_what_failed_is_told_and_the_rest_is_written(tmp_path: Path, room: VectorMemory) -> None:
    truth = vectors(3)
    lines = [
        keyed(0, truth[0].tolist()),
        keyed(1, None, error={"code": 8, "message": "later"}),
        keyed(3, truth[1].tolist()),
        keyed(2, truth[2].tolist()),
    ]
    (tmp_path / "a").write_bytes(b"".join(lines))
    collected = collect_part(attempt(3), tmp_path / "a", tmp_path / "part", room, READER)
    assert collected.part is not None
    assert collected.part.rows == 2
    assert {n: error.reason for n, error in collected.joined.errors.items()} == {
        1: "resource_exhausted"
    }


def test_a_retry_joins_its_own_ordinals_and_merges_into_place(
    tmp_path: Path, room: VectorMemory
) -> None:
    truth = vectors(60)
    all_lines = answer(tmp_path / "a", 60, truth).read_bytes().splitlines(keepends=True)
    lost = [line for line in all_lines if f'"{FINGERPRINT}-17"'.encode() in line]
    (tmp_path / "a").write_bytes(b"".join(line for line in all_lines if line not in lost))
    first = collect_part(attempt(60), tmp_path / "a", tmp_path / "first", room, READER)
    assert list(first.joined.errors) == [17]
    (tmp_path / "b").write_bytes(b"".join(lost))
    second = collect_part(
        attempt(60, [17], "0.0"), tmp_path / "b", tmp_path / "second", room, READER
    )
    assert second.part is not None
    assert second.part.rows == 1

    streams = [read_batches(tmp_path / name) for name in ("first", "second")]
    assert write_part(tmp_path / "part", merge_rows(streams), {}).rows == 60
    table = pq.read_table(tmp_path / "part")
    assert table["source_index"].to_pylist() == list(range(60))
    assert table["attempt"].to_pylist()[16:19] == ["0", "0.0", "0"]
    got = np.stack(table["embedding"].to_numpy())
    np.testing.assert_allclose(got, [unit(vector) for vector in truth], atol=1e-7)


def test_text_and_line_caps_are_options(tmp_path: Path, room: VectorMemory) -> None:
    truth = vectors(2)
    path = answer(tmp_path / "a", 2, truth)
    options = PartOptions(include_text=True, compression="snappy")
    reader = partial(READER, 500)
    path.write_bytes(path.read_bytes() + line("x" * 600, [1.0]))
    collected = collect_part(attempt(2), path, tmp_path / "part", room, reader, options)
    assert collected.joined.anomalies.too_long == 1
    assert pq.read_table(tmp_path / "part")["text"][0].as_py() == "the text of note 0"


def test_an_empty_answer_is_structural_but_for_the_smallest_jobs(
    tmp_path: Path, room: VectorMemory
) -> None:
    (tmp_path / "a").touch()
    assert collect_part(attempt(2), tmp_path / "a", tmp_path / "p", room, READER).verdict.ok
    collected = collect_part(attempt(60), tmp_path / "a", tmp_path / "q", room, READER)
    assert [reason.code for reason in collected.verdict.reasons] == ["keys_lost"]


def test_memory_is_used_again_and_never_above_the_limit(tmp_path: Path) -> None:
    room = VectorMemory(tmp_path, spill_above_bytes=4000)
    with room.matrix(100, 10) as scratch:
        assert not scratch.spilled
        address = scratch.matrix.ctypes.data
    with room.matrix(50, 20) as scratch:
        assert scratch.matrix.shape == (50, 20)
        assert scratch.matrix.ctypes.data == address
    with room.matrix(101, 10) as scratch:
        assert scratch.spilled
    with room.matrix(0, 10) as scratch:
        assert scratch.matrix.shape == (0, 10)


def test_a_spilled_matrix_keeps_its_content_when_cleared(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = set(os.listdir(tmp_path))
    with VectorMemory(tmp_path, spill_above_bytes=0).matrix(40_000, 3072) as scratch:
        for start in range(0, 40_000, 2000):
            scratch.matrix[start : start + 2000] = start
            scratch.clear()
        assert set(os.listdir(tmp_path)) == files
        for start in range(0, 40_000, 2000):
            assert (scratch.matrix[start + 1999] == start).all()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 200e6
