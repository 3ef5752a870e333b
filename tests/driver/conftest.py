"""A committed run in a temporary folder, an emulator, and lanes over them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.pack import pack_partition, totals_of
from reembed.core.plans import PartitionPlan, ShardPlan
from reembed.driver.context import Context
from reembed.driver.interrupt import Interrupt
from reembed.driver.lane import Lane, LaneResult
from reembed.driver.progress import Progress
from reembed.driver.session import Session, open_context, quotas_of
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.run_dir import open_run_dir
from reembed.providers.base import BatchService
from reembed.providers.gemini.client import GeminiService
from reembed.providers.gemini.retries import RetryPolicy
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.storage.local import LocalStorage
from reembed.types import Chunk, Position
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from support.clocks import JumpingClock, QuickClock
from support.waiting import DEADLINE, wait_until

WORDS = ["tide", "foam", "shore", "gull", "rope", "mast", "keel", "wind", "salt", "reef"]
PLAN = "plan"


def text_chunk(index: int) -> Chunk:
    """A text of its own: about 20 tokens."""
    text = " ".join(WORDS[(index + step) % len(WORDS)] for step in range(6)) + f" number {index}"
    return Chunk(
        key=f"doc-{index:05}",
        uri=f"/none/{index:05}.txt",
        position=Position(index),
        part=0,
        parts=1,
        modality="text",
        mime_type="text/plain",
        tokens=24,
        input_bytes=len(text),
        generation="1",
        source_hash=f"{index:064x}",
        content_hash=f"{index:064x}",
        chunker="text/1",
        text=text,
    )


class Site:
    """One run directory with a plan in it, and an emulator; lanes are driven from here."""

    def __init__(
        self, root: Path, server: EmulatorServer, chunks: Sequence[Chunk], settings: dict[str, Any]
    ) -> None:
        self.root, self.server = root, server
        self.stack = ExitStack()
        self.clock: QuickClock | JumpingClock = QuickClock(1.0)
        if settings.pop("jumps", False):
            self.jump(lambda: None)
        batch = {"poll_seconds": [0.05, 0.2], "input": "file", "list_lag_seconds": 0.2}
        batch |= {"lease_seconds": 20.0, **settings.pop("batch", {})}
        self.config = Config.model_validate(
            {
                "name": "test",
                "run_dir": str(root / "run"),
                "source": {"files": ["*"]},
                "model": {"dimensions": 128},
                "batch": batch,
                "service": {"base_url": server.base_url, "timeout_seconds": 3},
                **settings,
            }
        )
        self.session = Session(self.config, "a1b2c3d4e5f6", PLAN, 1)
        self.run_dir = open_run_dir(self.config.run_dir)
        self.layout, self.storage = self.run_dir.layout, self.run_dir.storage
        self.plans = self._write_plan(chunks)
        self.interrupted = Interrupt()
        self.halted = ""

    def _write_plan(self, chunks: Sequence[Chunk]) -> list[ShardPlan]:
        table = manifest_of(chunks, GeminiWire.of(self.config))
        shards = []
        for shard in pack_partition(table, 0, packing_of(self.config)):
            buffer = pa.BufferOutputStream()
            pq.write_table(shard.manifest, buffer)
            name = self.layout.manifest(PLAN, shard.plan.shard)
            self.storage.put(name, buffer.getvalue().to_pybytes())
            shards.append(shard)
        plans = tuple(shard.plan for shard in shards)
        partition = PartitionPlan(
            partition=0, shards=plans, totals=asdict(totals_of(shards, len(chunks)))
        )
        self.storage.put(self.layout.partition(PLAN, 0), partition.encode())
        return list(plans)

    def service(self) -> GeminiService:
        """A client that does not wait long between its tries."""
        retries = RetryPolicy(attempts=3, base=0.01, cap=0.05, total=1.0)
        return self.stack.enter_context(
            GeminiService(self.server.base_url, "v1beta", "secret-key", 3, retries)
        )

    def context(self, service: BatchService | None = None) -> Context:
        """The seams of a new process."""
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.root))
        context = open_context(self.session, scratch, service or self.service())
        return replace(context, clock=self.clock)

    def drive(
        self,
        context: Context | None = None,
        each: Callable[[str, LaneResult], None] | None = None,
        one_round: bool = False,
    ) -> dict[str, LaneResult]:
        """One call: drive all shards until each is settled or left; with a scan as a resume has."""
        context = context or self.context()
        clock = context.clock
        offset = context.ledger.storage_now() - clock.now()
        shared = SharedStateStore(self.session.run, quotas_of(self.config), clock, offset)
        shared.set_listed_jobs(context.service.list_jobs(), clock.now())
        progress = Progress(context.run_dir, 1, 0)
        found = {}
        lane = Lane(context, shared, progress, self.interrupted, one_round)
        for shard, result in lane.run(self.plans):
            found[shard] = result
            if each is not None:
                each(shard, result)
        self.halted = shared.current().halted
        return found

    def rows(self) -> list[dict[str, Any]]:
        """All rows of all parts, in the order of the parts' names."""
        return self._all("vectors")

    def rejects(self) -> list[dict[str, Any]]:
        """All rejects, in the order of their files' names."""
        return self._all("rejects")

    def _all(self, folder: str) -> list[dict[str, Any]]:
        files = sorted((Path(self.config.run_dir) / folder).glob("*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever created, oldest first."""
        found: list[dict[str, Any]] = self._control("GET", "jobs")["jobs"]
        return found

    def billed(self) -> int:
        """Rows that the service bills, over all jobs."""
        return int(self._control("GET", "jobs")["billed_rows"])

    def count(self, route: str) -> int:
        """Requests of a route so far."""
        counts: Counter[str] = Counter()
        for row in self._control("GET", "requests")["counts"]:
            counts[row["route"]] += row["count"]
        return counts[route]

    def faults(self, *faults: dict[str, Any]) -> None:
        """Put these faults in force."""
        self._control("POST", "faults", list(faults))

    def advance(self, seconds: float) -> None:
        """Move the emulator's clock."""
        self._control("POST", "advance", {"seconds": seconds})

    def jump(self, then: Callable[[], object]) -> JumpingClock:
        """Let time jump, for the lane and the service alike, wherever the lane would sleep."""
        self.clock = clock = JumpingClock()
        moved = 0.0

        def slept() -> None:
            nonlocal moved
            self.advance(clock.at - moved)
            moved = clock.at
            then()

        clock.slept = slept
        return clock

    def wait_for_ends(self) -> None:
        """Wait until all jobs have ended: the service takes a moment after its clock was moved."""
        wait_until(lambda: all(job["ended"] for job in self.jobs()), "every job has ended")

    def _control(self, method: str, what: str, body: Any = None) -> Any:
        url = f"{self.server.base_url}/emulator/{what}"
        with httpx.Client(verify=False, timeout=DEADLINE) as client:
            answer = client.request(method, url, json=body)
        answer.raise_for_status()
        return answer.json()

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The outcome records, by shard and attempt."""
        found = {}
        for stat in self.storage.list(self.layout.partition_records(1, "00000000")):
            folder, _, name = stat.uri.rpartition("/")
            if name.endswith(".outcome"):
                path = f"{folder.rsplit('/', 1)[1]}/{name.removesuffix('.outcome')}"
                found[path] = orjson.loads(self.storage.read(stat.uri))
        return found


SiteOf = Callable[..., Site]


@pytest.fixture
def text() -> Callable[[int], Chunk]:
    """Make the text chunk of a number."""
    return text_chunk


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteOf]:
    """Make a site: ``site(chunks, emulator={…}, jumps=True, batch={…}, budget={…})``.

    With ``jumps`` no time passes while the lane works, and none is waited for: see `Site.jump`.
    """
    with ExitStack() as stack:

        def make(
            chunks: int | Sequence[Chunk], emulator: dict[str, Any] | None = None, **config: Any
        ) -> Site:
            quick = {"port": 0, "pending_seconds": 0.05, "running_seconds": 0.05}
            settings = EmulatorSettings(**{**quick, **(emulator or {})})
            server = stack.enter_context(EmulatorServer(settings))
            if isinstance(chunks, int):
                chunks = [text_chunk(index) for index in range(chunks)]
            root = tmp_path / f"site-{server.base_url.rsplit(':')[-1]}"
            root.mkdir()
            made = Site(root, server, chunks, config)
            stack.callback(made.stack.close)
            return made

        yield make


@pytest.fixture
def disk() -> LocalStorage:
    """This machine's disk."""
    return LocalStorage()
