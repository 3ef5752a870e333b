"""What is run: corpora, configurations, the service's faults; each planned and committed once."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from reembed.config.load import ResolvedConfig, load_config
from reembed.core.records import Commit
from reembed.ledger.run_dir import open_run_dir

# Quick polling, and leases that a dead holder's successor need not wait for.
BATCH = {"poll_seconds": [0.05, 0.3], "lease_seconds": 1.2, "list_lag_seconds": 0.1}
WORDS = ("river", "violin", "granite", "bread", "orbit", "kettle", "meadow")


@dataclass(frozen=True)
class Scenario:
    """One migration: `faults` are the service's, `after_plan` changes the sources once planned.

    `runners` are the processes that drive it at once.
    """

    name: str
    corpus: Callable[[Path], None]
    batch: Mapping[str, Any]
    faults: tuple[Mapping[str, Any], ...] = ()
    after_plan: Callable[[Path], None] = lambda corpus: None
    runners: int = 1


@dataclass(frozen=True)
class Prepared:
    """A scenario on disk: the folder with its corpus, and a run directory with plan and commit."""

    scenario: Scenario
    folder: Path
    loaded: ResolvedConfig = field(repr=False)
    commit: Commit = field(repr=False)

    @property
    def run_dir(self) -> Path:
        return self.folder / "prepared"


def texts(count: int) -> Callable[[Path], None]:
    """Short texts, each different from the others, and one file that is a reject already."""

    def write(folder: Path) -> None:
        for n in range(count):
            words = " ".join(WORDS[(n * step) % len(WORDS)] for step in range(1, 6))
            (folder / f"note {n:03}.txt").write_text(f"Note {n}: {words}, {n * 7919}.")
        (folder / "empty.txt").write_bytes(b"")

    return write


def pictures(count: int) -> Callable[[Path], None]:
    """Pictures of 3 MB that do not compress, so that an upload takes several requests."""

    def write(folder: Path) -> None:
        for n in range(count):
            noise = random.Random(n).randbytes(1000 * 1000 * 3)
            picture = Image.frombytes("RGB", (1000, 1000), noise)
            picture.save(folder / f"picture {n}.png", compress_level=0)
        Image.new("RGB", (40, 30), "red").save(folder / "small.png")

    return write


def _repaint(folder: Path) -> None:
    """Other bytes than at the plan: the request cannot be rendered and is not sent."""
    out = io.BytesIO()
    Image.new("RGB", (50, 30), "blue").save(out, "PNG")
    (folder / "small.png").write_bytes(out.getvalue())


# In every job the rows of these numbers fail; children are shorter, so the same number passes.
_FAILING = (
    {"job": "*", "do": "fail_rows", "rows": [3, 5], "code": 14},
    {"job": "*", "do": "fail_rows", "rows": [7], "code": 3},
)
_QUOTA = {"on": "batches.create", "do": "status", "status": 429, "retry_after": 1, "nth": 1}
# As after a fence: the epoch is given back, and the next begins five seconds later.
_NO_INPUT = {"on": "batches.create", "do": "status", "status": 404, "nth": 1}
_SLOW = {"on": "upload.finalize", "do": "delay", "seconds": 0.9, "nth": 1}
_FILE, _INLINE = {"input": "file", "max_requests": 12}, {"input": "inline", "max_requests": 12}

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("file", texts(20), _FILE),
        Scenario("inline", texts(20), _INLINE),
        Scenario("rows", texts(20), _FILE, _FAILING),
        Scenario("rows-inline", texts(12), _INLINE, _FAILING),
        Scenario("media", pictures(3), {"input": "file"}, after_plan=_repaint),
        Scenario("quota", texts(12), _FILE, (_QUOTA,)),
        Scenario("refused", texts(6), _FILE, (_NO_INPUT,)),
        Scenario("slow", texts(12), _FILE, (_SLOW,)),
        Scenario("two", texts(20), _FILE, runners=2),
        Scenario("two-rows", texts(20), _FILE, _FAILING, runners=2),
        Scenario("two-inline", texts(20), _INLINE, runners=2),
    )
}


def write_project(scenario: Scenario, folder: Path) -> None:
    """Make the corpus."""
    (folder / "corpus").mkdir(parents=True)
    scenario.corpus(folder / "corpus")


def write_config(scenario: Scenario, folder: Path, run_dir: Path, url: str) -> Path:
    """Write the configuration of one case beside the corpus, and return where it lies."""
    path = folder / f"{run_dir.name}.yaml"
    config = {
        "name": "kills",
        "run_dir": str(run_dir),
        "source": {"files": ["corpus/**"]},
        "batch": {**BATCH, **scenario.batch},
        "budget": {"max_usd": 1},
        "service": {"base_url": url, "timeout_seconds": 1},
        "destination": {"text": True},
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def prepare(scenario: Scenario, folder: Path) -> Prepared:
    """Plan and commit once; cases copy the run directory."""
    from reembed.ledger.commits import commit_plan
    from reembed.runs.plan import make_plan

    write_project(scenario, folder)
    config = write_config(scenario, folder, folder / "prepared", "http://127.0.0.1:1")
    loaded = load_config(config)
    run_dir = open_run_dir(loaded.config.run_dir)
    plan = make_plan(loaded)
    commit = commit_plan(run_dir, loaded.config, plan, "local")
    scenario.after_plan(folder / "corpus")
    return Prepared(scenario, folder, loaded, commit)
