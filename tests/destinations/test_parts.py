import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.core.join import Answer, join
from reembed.core.names import wire_key
from reembed.core.row_errors import RowError
from reembed.core.rows import reject_table, row_batches
from reembed.core.schema import REJECT, ROW
from reembed.destinations.parts import part_metadata, read_batches, write_part, write_rejects
from support.builders import FINGERPRINT, lineage, manifest, vectors

_COUNT, _DIMENSIONS = 50, 64
READERS = "run ./scripts/setup --readers"


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    truth = vectors(_COUNT, _DIMENSIONS)
    answers = [Answer(wire_key(FINGERPRINT, n), truth[n], n) for n in range(_COUNT)]
    room = np.empty((_COUNT, _DIMENSIONS), np.float32)
    joined = join(answers, FINGERPRINT, range(_COUNT), room)
    rows = row_batches(
        manifest(range(_COUNT)), joined, lineage(_DIMENSIONS), include_text=True, batch_rows=20
    )
    return list(rows)


@pytest.fixture
def part(tmp_path: Path, batches: list[pa.RecordBatch]) -> Path:
    path = tmp_path / "part.parquet"
    write_part(path, batches, part_metadata("tide-1", "gemini-embedding-2", 64, "t", ["text/1"]))
    return path


def expected(batches: list[pa.RecordBatch]) -> np.ndarray:
    flat = pa.Table.from_batches(batches)["embedding"].combine_chunks().flatten()
    return flat.to_numpy().reshape(_COUNT, _DIMENSIONS)


def test_what_is_written_comes_back(part: Path, batches: list[pa.RecordBatch]) -> None:
    table = pq.read_table(part)
    assert table.schema.equals(ROW)
    assert table.equals(pa.Table.from_batches(batches))
    again = pa.Table.from_batches(read_batches(part, 7))
    assert again.equals(pa.Table.from_batches(batches))
    assert max(batch.num_rows for batch in read_batches(part, 7)) == 7


def test_rows_and_bytes_are_told(tmp_path: Path, batches: list[pa.RecordBatch]) -> None:
    info = write_part(tmp_path / "a", batches, {})
    assert info.rows == _COUNT
    assert info.bytes == (tmp_path / "a").stat().st_size


def test_duckdb_reads_the_vectors(part: Path, batches: list[pa.RecordBatch]) -> None:
    query = "select key, embedding, embedded_at, list_sum(embedding) from read_parquet(?)"
    rows = duckdb.execute(f"{query} order by source_index", [str(part)]).fetchall()
    got = np.array([row[1] for row in rows], np.float32)
    np.testing.assert_array_equal(got, expected(batches))
    kind = duckdb.execute("select typeof(embedding) from read_parquet(?)", [str(part)]).fetchone()
    assert kind == ("FLOAT[]",)
    assert rows[0][2].isoformat() == "2026-11-20T12:30:00+00:00"


def test_pandas_reads_the_vectors(part: Path, batches: list[pa.RecordBatch]) -> None:
    pd = pytest.importorskip("pandas", reason=READERS)
    frame = pd.read_parquet(part)
    assert frame["embedding"][0].dtype == np.float32
    np.testing.assert_array_equal(np.stack(frame["embedding"]), expected(batches))
    assert list(frame["key"][:2]) == ["notes/0.txt", "notes/1.txt"]


def test_polars_reads_the_vectors(part: Path, batches: list[pa.RecordBatch]) -> None:
    pl = pytest.importorskip("polars", reason=READERS)
    frame = pl.read_parquet(part)
    assert frame.schema["embedding"] == pl.List(pl.Float32)
    got = np.array(frame["embedding"].to_list(), np.float32)
    np.testing.assert_array_equal(got, expected(batches))
    lazily = pl.scan_parquet(part).filter(pl.col("source_index") == 3).collect()
    assert lazily["key"].to_list() == ["notes/3.txt"]


def test_the_file_says_what_it_holds(part: Path) -> None:
    kept = pq.read_schema(part).metadata
    assert {k: v for k, v in kept.items() if k.startswith(b"reembed.")} == {
        b"reembed.schema_version": b"1",
        b"reembed.run": b"tide-1",
        b"reembed.model": b"gemini-embedding-2",
        b"reembed.dimensions": b"64",
        b"reembed.task": b"t",
        b"reembed.chunkers": b"text/1",
    }
    assert part_metadata("r", "m", 1, "t", ["pdf/1", "audio/2", "pdf/1"])["reembed.chunkers"] == (
        "audio/2,pdf/1"
    )


def _column(part: Path, name: str) -> pq.ColumnChunkMetaData:
    group = pq.ParquetFile(part).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: n for n in range(group.num_columns)}
    return group.column(columns[name])


def test_only_embeddings_are_split_into_byte_streams(part: Path) -> None:
    embedding = _column(part, "embedding.list.element")
    assert "BYTE_STREAM_SPLIT" in embedding.encodings
    assert not embedding.has_dictionary_page
    assert not embedding.is_stats_set
    assert embedding.compression == "ZSTD"
    for name in ("run", "chunker", "modality", "warnings.list.element"):
        assert _column(part, name).has_dictionary_page
        assert "BYTE_STREAM_SPLIT" not in _column(part, name).encodings
    assert not _column(part, "text").has_dictionary_page
    assert _column(part, "source_index").statistics.max == _COUNT - 1


def test_row_groups_are_bounded_in_bytes(tmp_path: Path) -> None:
    count, dimensions = 9000, 3072
    matrix = np.zeros((count, dimensions), np.float32)
    matrix[:, 0] = 1
    answers: list[Answer] = []
    joined = join(answers, FINGERPRINT, range(count), matrix)
    joined.ok[:] = True
    rows = row_batches(manifest(range(count)), joined, lineage(dimensions), include_text=False)
    info = write_part(tmp_path / "part", rows, {})
    assert info.rows == count
    held = pq.ParquetFile(tmp_path / "part").metadata
    sizes = [held.row_group(n).num_rows * dimensions * 4 for n in range(held.num_row_groups)]
    assert max(sizes) <= 40e6
    assert max(sizes) >= 30e6


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "none"])
def test_other_codecs(tmp_path: Path, batches: list[pa.RecordBatch], compression: str) -> None:
    write_part(tmp_path / "part", batches, {}, compression)
    assert pq.read_table(tmp_path / "part").equals(pa.Table.from_batches(batches))


def test_a_part_without_rows_is_a_part(tmp_path: Path) -> None:
    assert write_part(tmp_path / "part", [], {"reembed.run": "x"}).rows == 0
    table = pq.read_table(tmp_path / "part")
    assert table.num_rows == 0
    assert table.schema.equals(ROW)


def test_a_name_that_is_taken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("mine")
    with pytest.raises(FileExistsError):
        write_part(tmp_path / "part", [], {})
    assert (tmp_path / "part").read_text() == "mine"


def test_a_write_that_fails_is_not_a_part(tmp_path: Path, batches: list[pa.RecordBatch]) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batches[0]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        write_part(tmp_path / "part", broken(), {})
    assert not (tmp_path / "part").exists()


def test_rejects_are_written_and_read_alike(tmp_path: Path) -> None:
    plan = {1: ("pdf_encrypted", "give the password", "chunk")}
    errors = {0: RowError("internal", "broke", 13)}
    table = reject_table(manifest([0, None], rejects=plan), errors, lineage())
    info = write_rejects(tmp_path / "rejects", table.to_batches(), {"reembed.run": "x"})
    assert info.rows == 2
    assert pq.read_table(tmp_path / "rejects").schema.equals(REJECT)
    query = "select reason, count(*) from read_parquet(?) group by 1 order by 1"
    counts = duckdb.execute(query, [str(tmp_path / "rejects")]).fetchall()
    assert json.dumps(counts) == '[["internal", 1], ["pdf_encrypted", 1]]'
