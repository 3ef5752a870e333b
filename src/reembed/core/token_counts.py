"""Tokens of a manifest's rows by modality: a row that mixes modalities has its own split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """The columns of a manifest that say what its rows cost."""

    tokens: list[int]
    modalities: list[str]
    splits: list[list[dict[str, Any]] | None] | None

    @classmethod
    def of(cls, manifest: pa.Table) -> TokenCounts:
        """Read them from a table of schema `MANIFEST`."""
        column = manifest.column("token_split")
        mixed = column.null_count < manifest.num_rows
        return cls(
            manifest.column("token_count").to_pylist(),
            manifest.column("modality").to_pylist(),
            column.to_pylist() if mixed else None,
        )

    def of_row(self, row: int, counted: int = -1) -> Iterator[tuple[str, int]]:
        """Tokens of one row by modality.

        Args:
            row: its number.
            counted: what the service counted, in all; a negative number: nothing, so that the
                estimate stands. A count is spread over the modalities as the estimate was.
        """
        estimate = self.tokens[row]
        total = counted if counted >= 0 else estimate
        split = self.splits[row] if self.splits is not None else None
        if not split:
            yield self.modalities[row], total
            return
        left = total
        for each in split[1:]:
            share = total * each["tokens"] // estimate if estimate else 0
            left -= share
            yield each["modality"], share
        yield split[0]["modality"], left
