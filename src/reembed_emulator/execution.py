"""Work through the rows of one job, a piece at a time, into a file of answers."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from reembed_emulator.answers import Answer, render
from reembed_emulator.contents import Resolve
from reembed_emulator.embedder import Embedder
from reembed_emulator.errors import RowError
from reembed_emulator.fast import FastVectors
from reembed_emulator.inputs import Row, line_starts, read_row
from reembed_emulator.models import MODELS
from reembed_emulator.records import JobRecord
from reembed_emulator.row_faults import RowFaults

_ROWS_A_STEP = 256
_BYTES_A_STEP = 4_000_000


@dataclass(frozen=True, slots=True)
class Tools:
    """Hold what the rows of any job are worked on with."""

    embedder: Embedder
    fast: FastVectors | None
    resolve: Resolve
    shuffle: bool
    echo_metadata: bool


class Execution:
    """Hold the work on one job: which rows are done, and what they came to."""

    def __init__(self, job: JobRecord, source: Path, target: Path, tools: Tools) -> None:
        self._job = job
        self._tools = tools
        self._model = MODELS[job.model]
        self._starts = line_starts(source)
        self._order = _order(job, len(self._starts) - 1, tools.shuffle)
        self._faults = RowFaults(job.faults)
        self._input = source.open("rb")
        self._output = target.open("wb")
        self.done = 0
        self.succeeded = 0
        self.failed = 0
        self.tokens = 0

    @property
    def finished(self) -> bool:
        """Return whether all rows were worked on."""
        return self.done == len(self._order)

    def step(self) -> None:
        """Work on the next rows: at most 256 of them or about 4 MB of input."""
        chosen = self._next()
        rows = [self._read(index) for index in chosen]
        for answer in self._answers(chosen, rows):
            self._count(answer)
            self._write(self._faults.apply(answer))
        self.done += len(chosen)
        if self.finished:
            self._write(self._faults.rest())
            self._output.flush()

    def close(self) -> None:
        """Close the files; what was written stays where it is."""
        self._input.close()
        self._output.close()

    def _next(self) -> list[int]:
        chosen: list[int] = []
        size = 0
        for index in self._order[self.done : self.done + _ROWS_A_STEP]:
            size += self._starts[index + 1] - self._starts[index]
            if chosen and size > _BYTES_A_STEP:
                break
            chosen.append(index)
        return chosen

    def _read(self, index: int) -> Row:
        start, stop = self._starts[index], self._starts[index + 1]
        self._input.seek(start)
        return read_row(self._input.read(stop - start), self._job.model, not self._job.file_id)

    def _answers(self, chosen: Sequence[int], rows: Sequence[Row]) -> list[Answer]:
        if self._tools.fast is not None:
            return [self._fast(index, row) for index, row in zip(chosen, rows, strict=True)]
        requests = [row.request for row in rows]
        results = self._tools.embedder.embed(requests, self._model, self._tools.resolve)
        answers = []
        for index, row, result in zip(chosen, rows, results, strict=True):
            if isinstance(result, RowError):
                answers.append(self._answer(index, row, None, 0, result))
                continue
            values = orjson.dumps(result.values, option=orjson.OPT_SERIALIZE_NUMPY)
            answers.append(self._answer(index, row, values, result.tokens))
        return answers

    def _fast(self, index: int, row: Row) -> Answer:
        assert self._tools.fast is not None
        try:
            values, tokens = self._tools.fast.answer(row.request, self._model, self._tools.resolve)
        except RowError as err:
            return self._answer(index, row, None, 0, err)
        return self._answer(index, row, values, tokens)

    def _answer(
        self, index: int, row: Row, values: bytes | None, tokens: int, err: RowError | None = None
    ) -> Answer:
        metadata = row.metadata if self._tools.echo_metadata else None
        return Answer(index, row.key, metadata, values, tokens, err.status() if err else None)

    def _count(self, answer: Answer) -> None:
        failed = answer.error is not None or self._faults.fails(answer.index)
        self.failed += failed
        self.succeeded += not failed
        self.tokens += 0 if failed else answer.tokens

    def _write(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            self._output.write(render(answer))


def _order(job: JobRecord, total: int, shuffle: bool) -> list[int]:
    if not shuffle or total < 2:
        return list(range(total))
    # The name alone decides: a repeated run gets its answers in the same order.
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(job.display_name.encode())))
    order: list[int] = generator.permutation(total).tolist()
    return order if order != list(range(total)) else order[::-1]
