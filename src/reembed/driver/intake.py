"""Turn an answer stream into rows on local disk, line by line."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reembed.core.canaries import Canary
from reembed.core.join import Answer, Joined, Joiner
from reembed.core.rows import Lineage, request_ordinals, row_batches
from reembed.core.verify import Verdict, text_lengths, verify
from reembed.core.wire import AnswerReader
from reembed.destinations.parts import PartInfo, part_metadata, write_part

# One default shard of 3,072 dimensions is 80 MB; what is larger than twice that goes to disk.
SPILL_ABOVE_BYTES = 192 * 1024 * 1024

# In a part's metadata: which requests of its answer had a vector.
ANSWERED = "reembed.answered"

_PIECE_BYTES = 64 * 1024
# Vectors between two clearings of the spill's resident pages: 48 MB of 3,072 values.
_CLEAR_EVERY = 4096
_CLEAR_EVERY_BATCHES = 16


@dataclass(frozen=True, slots=True)
class VectorMatrix:
    """Matrix of vectors, in memory or in an unnamed file.

    `matrix` is float32, shape (rows, dimensions), and must not be used once its context ends.
    """

    matrix: NDArray[np.float32]
    _map: mmap.mmap | None = None

    @property
    def spilled(self) -> bool:
        """Tell whether the vectors are in a file."""
        return self._map is not None

    def clear(self) -> None:
        """Let go of the file's pages in this process; their content stays in the file."""
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED)


class VectorMemory:
    """Memory for the vectors of one shard after another; one for each thread that collects.

    The memory of a shard is used again for the next: fresh memory costs up to 10 microseconds a
    vector of 3,072 values. What is larger than the limit goes to an unnamed file.

    Args:
        spill_dir: an existing local folder; used only above the limit.
        spill_above_bytes: the most that is held in memory.
    """

    def __init__(self, spill_dir: Path, spill_above_bytes: int = SPILL_ABOVE_BYTES) -> None:
        self._spill_dir, self._limit = spill_dir, spill_above_bytes
        self._memory = np.empty(0, np.float32)

    @contextmanager
    def matrix(self, rows: int, dimensions: int) -> Iterator[VectorMatrix]:
        """Lend a matrix, its content undefined, until the context ends.

        Args:
            rows: vectors.
            dimensions: values of each.
        """
        count = rows * dimensions
        if count * 4 > self._limit:
            yield from self._spilled(rows, dimensions)
            return
        if count > len(self._memory):
            # Let go of the old memory before asking for the new.
            self._memory = np.empty(0, np.float32)
            self._memory = np.empty(count, np.float32)
        yield VectorMatrix(self._memory[:count].reshape(rows, dimensions))

    def _spilled(self, rows: int, dimensions: int) -> Iterator[VectorMatrix]:
        with TemporaryFile(dir=self._spill_dir, prefix="reembed-vectors-") as file:
            size = rows * dimensions * 4
            file.truncate(size)
            # Not closed here: whatever still views the matrix keeps the mapping until it goes.
            mapped = mmap.mmap(file.fileno(), size)
            yield VectorMatrix(np.frombuffer(mapped, np.float32).reshape(rows, dimensions), mapped)


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """Expectations of an answer before it is read.

    `ordinals` is what was sent, canaries included; `canaries` are those of its job (none in
    child attempts); `lineage` goes into the rows. `wanted` are the ordinals that become rows,
    where that is not all of them; the whole answer is verified in any case. `inline`: see
    `Joiner`.
    """

    manifest: pa.Table
    fingerprint: str
    ordinals: Sequence[int]
    canaries: Sequence[Canary]
    lineage: Lineage
    wanted: frozenset[int] | None = None
    inline: bool = False

    def wanted_chunks(self) -> pa.Table:
        """Return the manifest's rows whose requests are wanted."""
        if self.wanted is None:
            return self.manifest
        wanted = np.fromiter(sorted(self.wanted), np.int64, len(self.wanted))
        return self.manifest.filter(pa.array(np.isin(request_ordinals(self.manifest), wanted)))


@dataclass(frozen=True, slots=True)
class PartOptions:
    """Form of the part that is written."""

    include_text: bool = False
    compression: str = "zstd"


@dataclass(frozen=True, slots=True)
class CollectedAnswer:
    """Answer as collected: `part` is None when the verdict is that it must not be used.

    `joined` is without its vectors. `answer_bytes` came, those before a beginning anew included.
    """

    joined: Joined
    verdict: Verdict
    part: PartInfo | None
    answer_bytes: int


class Intake:
    """Joins an answer while its bytes come, and keeps nothing of it but the vectors.

    Args:
        attempt: what was asked.
        vectors: room for the vectors of the whole answer.
        make_reader: makes the reader of the service's answers.
    """

    def __init__(
        self,
        attempt: ExpectedAnswer,
        vectors: VectorMatrix,
        make_reader: Callable[[], AnswerReader],
    ) -> None:
        self._attempt, self._vectors, self._make_reader = attempt, vectors, make_reader
        self.size = 0
        self.rewind()

    def write(self, piece: bytes, /) -> None:
        """Take the next bytes, cut anywhere."""
        self.size += len(piece)
        self._take(self._reader.feed(piece))

    def rewind(self) -> None:
        """Drop all that came: the answer begins again at its first byte."""
        attempt = self._attempt
        self._reader = self._make_reader()
        self._joiner = Joiner(
            attempt.fingerprint, attempt.ordinals, self._vectors.matrix, attempt.inline
        )
        self._count = 0

    def finish(self) -> Joined:
        """End the answer; the intake must not be used after."""
        self._take(self._reader.end())
        return self._joiner.finish()

    def _take(self, answers: Iterator[Answer]) -> None:
        for answer in answers:
            self._joiner.add(answer)
            self._count += 1
            if self._count % _CLEAR_EVERY == 0:
                self._vectors.clear()


def collect_part(
    attempt: ExpectedAnswer,
    answer: Path,
    part: Path,
    memory: VectorMemory,
    make_reader: Callable[[], AnswerReader],
    options: PartOptions | None = None,
) -> CollectedAnswer:
    """Make a part of an answer that is a local file, which is left as it is.

    Arguments and errors as for `collect_stream`.
    """

    def read_answer(intake: Intake) -> None:
        with answer.open("rb", buffering=0) as stream:
            while piece := stream.read(_PIECE_BYTES):
                intake.write(piece)

    return collect_stream(attempt, read_answer, part, memory, make_reader, options)


def collect_stream(
    attempt: ExpectedAnswer,
    read_answer: Callable[[Intake], object],
    part: Path,
    memory: VectorMemory,
    make_reader: Callable[[], AnswerReader],
    options: PartOptions | None = None,
) -> CollectedAnswer:
    """Make a part of an answer: parse, join, verify, normalise, order, write.

    Args:
        attempt: what was asked.
        read_answer: writes the whole answer, JSON lines, to what it is given, or raises.
        part: a local file that is not there yet; not made when the verdict is bad.
        memory: where the vectors are put in order.
        make_reader: makes the reader of the service's answers; see `WireFormat`.
        options: see `Options`.

    Raises:
        FileExistsError: something is at `part`.
    """
    options = options or PartOptions()
    manifest, canaries = attempt.manifest, attempt.canaries
    with memory.matrix(len(attempt.ordinals), attempt.lineage.dimensions) as vectors:
        intake = Intake(attempt, vectors, make_reader)
        read_answer(intake)
        joined = intake.finish()
        verdict = verify(joined, canaries, text_lengths(manifest, canaries))
        info = _write(attempt, joined, vectors, part, options) if verdict.ok else None
        return CollectedAnswer(joined.without_vectors(), verdict, info, intake.size)


def _write(
    attempt: ExpectedAnswer, joined: Joined, vectors: VectorMatrix, part: Path, options: PartOptions
) -> PartInfo:
    lineage = attempt.lineage
    chunkers = attempt.manifest.column("chunker").unique().to_pylist()
    metadata = part_metadata(lineage.run, lineage.model, lineage.dimensions, lineage.task, chunkers)
    metadata[ANSWERED] = joined.answered()

    def batches() -> Iterator[pa.RecordBatch]:
        chunks = attempt.wanted_chunks()
        rows = row_batches(chunks, joined, lineage, include_text=options.include_text)
        for count, batch in enumerate(rows, start=1):
            yield batch
            if count % _CLEAR_EVERY_BATCHES == 0:
                vectors.clear()

    return write_part(part, batches(), metadata, options.compression)
