"""Show what vectors mean: for three items of a run, the items that lie nearest.

python scripts/neighbours.py RUN_DIR
"""

from __future__ import annotations

import argparse
import glob
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_COLUMNS = ["key", "part", "parts", "modality", "start", "end", "unit", "embedding"]
_UNITS = {"char": "characters", "second": "s", "page": "pages"}


def load(run_dir: Path) -> tuple[list[dict[str, object]], np.ndarray]:
    """All rows of a run in input order, and their vectors, float32, shape (rows, dimensions)."""
    parts = sorted((run_dir / "vectors").glob("part-*.parquet"))
    if not parts:
        sys.exit(f"neighbours: no vectors in {run_dir}")
    table = pa.concat_tables(pq.read_table(part, columns=_COLUMNS) for part in parts)
    flat = table.column("embedding").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table.drop_columns(["embedding"]).to_pylist(), flat.reshape(table.num_rows, -1)


def name(row: dict[str, object]) -> str:
    """A chunk, for people."""
    text = f"{row['key']} [{row['modality']}]"
    if row["parts"] == 1:
        return text
    return f"{text} {row['start']:g} to {row['end']:g} {_UNITS.get(str(row['unit']), '')}".rstrip()


def shown(rows: list[dict[str, object]]) -> list[int]:
    """The middle item of each of the three commonest kinds; of one kind, three spread out."""
    commonest = [kind for kind, _ in Counter(row["modality"] for row in rows).most_common(3)]
    if len(commonest) < 3:
        return sorted({len(rows) * part // 6 for part in (1, 3, 5)})
    places = []
    for kind in commonest:
        firsts = [n for n, row in enumerate(rows) if row["modality"] == kind and row["part"] == 0]
        places.append(firsts[len(firsts) // 2])
    return places


def nearest(place: int, rows: list[dict[str, object]], vectors: np.ndarray) -> list[int]:
    """The three nearest chunks of other items, by cosine."""
    order = np.argsort(-(vectors @ vectors[place]), kind="stable")
    found: list[int] = []
    keys = {rows[place]["key"]}
    for other in order.tolist():
        if rows[other]["key"] not in keys:
            keys.add(rows[other]["key"])
            found.append(other)
    return found[:3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, nargs="?")
    parser.add_argument("--pattern", metavar="FOLDER", help="print the pattern of a folder, only")
    given = parser.parse_args()
    if given.pattern:
        print(json.dumps([f"{glob.escape(given.pattern)}/**"]))
        return
    if given.run_dir is None:
        parser.error("give the run directory")
    rows, vectors = load(given.run_dir)
    report = json.loads((given.run_dir / "report.json").read_text())
    print("Nearest neighbours, by the cosine of the emulator's lexical vectors:")
    for place in shown(rows):
        print(f"  {name(rows[place])}")
        for other in nearest(place, rows, vectors):
            print(f"    {vectors[place] @ vectors[other]:.3f}  {name(rows[other])}")
    print(f"How to embed queries that match: query_contract in {given.run_dir}/report.json")
    print(f"The real service would have asked ${report['usd']:.6f} (nothing was paid here).")


if __name__ == "__main__":
    main()
