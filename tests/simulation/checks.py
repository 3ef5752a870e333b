"""The invariants, checked by the world from what it saw itself, never by the code under test."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq

from reembed.core.machine.book import Quotas
from simulation.corpus import Corpus, unit_vector
from simulation.disk import Disk, kind_of
from simulation.kernel import Process
from simulation.remote import Remote, RemoteJob

# The code sends on a look of 10 s at most, and each operation since may be slow by 40 s. A claim
# is taken over 180 s after its lease at the earliest, so that this much does no harm.
_OLDEST_LOOK = 150.0
# gemini-embedding-2, text, batch: $0.10 a million tokens, so 100 billionths a token.
_NANO_PER_TOKEN = 100


@dataclass(slots=True)
class Spent:
    """The spend log as the world folds it: by attempt, what stands reserved."""

    usd: dict[str, int] = field(default_factory=dict)
    live: dict[str, dict[str, int]] = field(default_factory=dict)
    held: list[tuple[float, int]] = field(default_factory=list)

    def add(self, line: dict) -> None:
        attempt, kind = line["attempt"], line["kind"]
        if kind == "reserve":
            if attempt not in self.live:
                self.usd[attempt] = self.usd.get(attempt, 0) + line["need"]["usd_nano"]
            self.live[attempt] = line["need"]
        elif attempt in self.live:
            need = self.live.pop(attempt)
            if kind == "void":
                self.usd[attempt] -= need["usd_nano"]
            else:
                self.held.append((line["held_until"], need["result_bytes"]))


class Checks:
    """Watches the store and the service; collects violations.

    Args:
        disk: watched for ledger records.
        remote: watched for jobs and bills.
        corpus: what was planned.
        quotas: at most this much.
    """

    def __init__(self, disk: Disk, remote: Remote, corpus: Corpus, quotas: Quotas) -> None:
        self.disk, self.remote, self.corpus, self.quotas = disk, remote, corpus, quotas
        self.violations: list[str] = []
        self.outside: Counter[str] = Counter()
        # Attempts of which something outside the stated bounds befell.
        self.excused: set[str] = set()
        self.excuse_all = False
        self.spent = Spent()
        self.charged: Counter[str] = Counter()
        self.answered: dict[tuple[str, int], list[str]] = {}
        self.stopped_at: float | None = None
        self.lost_results = False
        self._planned = {plan.shard: plan.requests for plan in corpus.shards}
        disk.watch = self._wrote
        remote.on_made, remote.on_ended = self._made, self._ended

    def fail(self, text: str) -> None:
        """Note a violation."""
        self.remote.kernel.note(f"VIOLATION {text}")
        self.violations.append(text)

    def excuse(self, display_name: str) -> None:
        """Something outside the stated bounds befalls an attempt."""
        self.excused.add("/".join(display_name.split("/")[1:3]))

    def _is_excused(self, attempt: str) -> bool:
        return self.excuse_all or attempt in self.excused

    # What is watched while it runs.

    def _wrote(self, uri: str, data: bytes) -> None:
        kind = kind_of(uri)
        if kind == "spend":
            self._spent(json.loads(data))
        elif kind == "stop":
            stop = uri.rsplit("/", 1)[1].startswith("stop.")
            self.stopped_at = self.remote.kernel.now if stop else None

    def _spent(self, line: dict) -> None:
        self.spent.add(line)
        attempt, total = line["attempt"], sum(self.spent.usd.values())
        cap, now = self.quotas.max_usd_nano, self.disk.now()
        if cap is not None and total > cap:
            self.fail(f"{total} reserved above the cap of {cap} by {attempt}")
        if line["total_usd_nano"] != total:
            self.fail(f"the log says {line['total_usd_nano']} in all, its lines come to {total}")
        live = self.spent.live.values()
        if sum(need["jobs"] for need in live) > self.quotas.jobs:
            self.fail(f"more jobs reserved than {self.quotas.jobs}")
        if sum(need["tokens"] for need in live) > self.quotas.tokens:
            self.fail(f"more tokens reserved than {self.quotas.tokens}")
        # The store's clock as a runner reckons it may be off by its drift since its start.
        held = sum(size for until, size in self.spent.held if until > now + 600)
        stored = held + sum(need["input_bytes"] + need["result_bytes"] for need in live)
        if stored > self.quotas.file_bytes:
            self.fail(f"{stored} bytes of files reserved, the quota is {self.quotas.file_bytes}")
        jobs = [job for job in self.remote.jobs.values() if job.attempt == attempt]
        if line["kind"] == "void" and jobs and not self._is_excused(attempt):
            self.fail(f"the money of {attempt} was given back, but {jobs[0].name} exists")
        self._covered(attempt)

    def _covered(self, attempt: str) -> None:
        billed, reserved = self.charged[attempt], self.spent.usd.get(attempt, 0)
        if billed > reserved and not self._is_excused(attempt):
            self.fail(f"{attempt}: billed {billed}, reserved {reserved}")

    def sending(self, process: Process, display_name: str, inline: bool) -> None:
        """A create is about to reach the service."""
        _, shard, path, _ = display_name.split("/")
        attempt, now = f"{shard}/{path}", self.remote.kernel.now
        if inline and process.froze_since_look:
            # No fence for inline jobs: stated, and outside the bounds.
            self.outside["frozen before an inline send"] += 1
            self.excuse(display_name)
            return
        if process.froze_since_look:
            return  # the fence answers for it: the service may refuse the file
        stripe, seq = shard.split("-")
        claims = f"/stripes/{stripe}/{seq}/{path}.e"
        if not any(claims in uri and uri.endswith(".claim") for uri in self.disk.objects):
            self.fail(f"{attempt} is created without a claim")
        if attempt not in self.spent.live and not self._is_excused(attempt):
            self.fail(f"{attempt} is created without a reservation")
        if now - process.looked > _OLDEST_LOOK:
            self.fail(f"{attempt} is created on a look {now - process.looked:.0f} s old")
        if self.stopped_at is not None and process.looked > self.stopped_at:
            self.fail(f"{attempt} is created although the stop had been seen")

    def polling(self, process: Process, job: RemoteJob) -> None:
        """A job is asked for by its name."""
        _, shard, path, _ = job.display_name.split("/")
        stripe, seq = shard.split("-")
        suffix = f"/stripes/{stripe}/{seq}/{path}.created"
        if not any(uri.endswith(suffix) for uri in self.disk.objects):
            self.fail(f"{job.name} is polled before {job.attempt}.created is written")

    def _made(self, job: RemoteJob) -> None:
        twins = [j for j in self.remote.jobs.values() if j.attempt == job.attempt and j is not job]
        if twins:
            self.outside["twins made"] += 1
            self.remote.kernel.note(f"service: {job.name} is a twin of {twins[0].name}")

    def _ended(self, job: RemoteJob, billed: dict[str, int]) -> None:
        self.charged[job.attempt] += billed["tokens"] * _NANO_PER_TOKEN
        self._covered(job.attempt)
        for shard, ordinal in self.remote.answered(job):
            if ordinal >= self._planned[shard]:
                continue  # a canary
            jobs = self.answered.setdefault((shard, ordinal), [])
            jobs.append(job.name)
            if len(jobs) < 2:
                continue
            names = {self.remote.jobs[name].attempt for name in jobs}
            if any(map(self._is_excused, names)):
                self.outside["answered twice"] += 1
            else:
                self.fail(f"{shard} request {ordinal} was answered and billed in {jobs}")

    # What must hold at the end.

    def at_end(self, left: dict[str, str]) -> None:
        """Compare the files with the plan, once every process has ended."""
        for plan in self.corpus.shards:
            uri = self._settled_uri(plan.shard)
            if uri is None:
                self.fail(f"{plan.shard} is not settled: {left.get(plan.shard, 'no reason given')}")
            else:
                self._shard(plan.shard, json.loads(self.disk.objects[uri].data))
        for stripe in sorted({plan.shard.split("-")[0] for plan in self.corpus.shards}):
            self._rolled_up(stripe)
        if self.spent.live:
            self.fail(f"reservations are still live at the end: {sorted(self.spent.live)}")

    def _settled_uri(self, shard: str) -> str | None:
        stripe, seq = shard.split("-")
        found = [u for u in sorted(self.disk.objects) if f"/stripes/{stripe}/{seq}/settled.g" in u]
        return found[-1] if found else None

    def _rolled_up(self, stripe: str) -> None:
        """A roll-up stands, and says what the stripe's own records say."""
        found = [u for u in sorted(self.disk.objects) if f"/rollups/{stripe}.g0" in u]
        if len(found) != 1:
            self.fail(f"stripe {stripe} has {len(found)} roll-ups")
            return
        shards = json.loads(self.disk.objects[found[0]].data)["shards"]
        if sorted(shards) != [p.shard for p in self.corpus.shards if p.shard.startswith(stripe)]:
            self.fail(f"the roll-up of stripe {stripe} holds {sorted(shards)}")
        for shard, rolled in shards.items():
            uri = self._settled_uri(shard)
            if uri is None or json.loads(self.disk.objects[uri].data) != rolled["settled"]:
                self.fail(f"{shard}: the roll-up says {rolled['settled']}, the record differs")
            folder = f"/stripes/{shard.replace('-', '/')}/"
            ended = {
                uri.rsplit("/", 1)[1].removesuffix(".outcome"): json.loads(held.data)["job"]
                for uri, held in self.disk.objects.items()
                if folder in uri and uri.endswith(".outcome")
            }
            if {path: one["job"] for path, one in rolled["attempts"].items()} != ended:
                self.fail(f"{shard}: the roll-up says {rolled['attempts']}, ended are {ended}")

    def _shard(self, shard: str, settled: dict) -> None:
        planned = {p.key: p for p in self.corpus.planned if p.shard == shard}
        rows = self._table(settled["part"], ["key", "source_index", "embedding", "job"])
        rejects = self._table(settled["reject_part"], ["key", "reason", "job"])
        keys = [*rows.get("key", []), *rejects.get("key", [])]
        if sorted(keys) != sorted(planned):
            lost, doubled = set(planned) - set(keys), [k for k, n in Counter(keys).items() if n > 1]
            self.fail(f"{shard}: keys lost {sorted(lost)}, doubled {doubled}, of {len(planned)}")
            return
        counts = settled["rows"], settled["rejects"], settled["planned"]
        if counts != (
            len(keys) - len(rejects.get("key", [])),
            len(rejects.get("key", [])),
            len(keys),
        ):
            self.fail(f"{shard}: settled says {counts}, the files differ")
        if rows.get("source_index", []) != sorted(rows.get("source_index", [])):
            self.fail(f"{shard}: rows out of order")
        for key, vector in zip(rows.get("key", []), rows.get("embedding", []), strict=True):
            if not np.allclose(vector, unit_vector(_sent(planned[key].text)), atol=1e-5):
                self.fail(f"{shard}: {key} holds another's vector")
        for key in rejects.get("key", []):
            ordinal = planned[key].ordinal
            jobs = self.answered.get((shard, ordinal if ordinal is not None else -1), [])
            if jobs and not any(self._is_excused(self.remote.jobs[job].attempt) for job in jobs):
                self.fail(f"{shard}: {key} was answered and billed, and is a reject")
        for key, job in zip(rows.get("key", []), rows.get("job", []), strict=True):
            ordinal = planned[key].ordinal
            answered = self.answered.get((shard, ordinal if ordinal is not None else -1), ())
            if job not in answered and not self.remote.jobs[job].unsteady:
                self.fail(f"{shard}: {key} is a row of {job}, which did not answer it")

    def _table(self, uri: str, columns: list[str]) -> dict[str, list]:
        if not uri:
            return {}
        return pq.read_table(io.BytesIO(self.disk.get(uri).data), columns=columns).to_pydict()


def _sent(text: str) -> str:
    """The words on the wire for a text of the plan (gemini-embedding-2, retrieval_document)."""
    return f"title: none | text: {text}"
