"""A spread of the demo's corpus: each kind of file, odd names, and what cannot be embedded."""

from __future__ import annotations

import shutil
from pathlib import Path

# What names a run, its jobs and times; all other columns are the same on every engine.
OF_THE_RUN = ["run", "job", "embedded_at"]
FILES = (
    "texts/bees-*",
    "texts/football-*",
    "texts/сад-*",
    "texts/*.py",
    "texts/picnic*",
    "pictures/bar chart*",
    "pictures/map-2.tiff",
    "sounds/birds*",
    "films/two balls, silent.mov",
    "documents/rye bread.pdf",
    "broken/*",
)


def spread(corpus: Path, folder: Path) -> None:
    """Copy it from the whole corpus."""
    for pattern in FILES:
        found = list(corpus.glob(pattern))
        assert found, pattern
        for path in found:
            to = folder / path.relative_to(corpus)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
