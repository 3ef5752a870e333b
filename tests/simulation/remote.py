"""The batch service of the simulator: jobs in virtual time, files, quotas, and what it bills."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from reembed.errors import NameTakenError, QuotaError, RefusedError, RemoteNotFoundError
from reembed.machine.quotas import Quotas
from reembed.providers.base import TERMINAL, Job, JobStats, RemoteError
from simulation.answers import answer_lines, answered_keys, draw_damage, weigh
from simulation.kernel import Kernel

HOURS = 3600.0
FILE_LIFE = EXPIRY = 48 * HOURS
EPOCH = 1_800_000_000
_LENGTHS = (20.0, 90.0, 600.0, 4_000.0)


@dataclass(slots=True)
class RemoteJob:
    """A job: what it was made of, what will become of it, and what it has answered."""

    name: str
    display_name: str
    requests: tuple[bytes, ...]
    file: str
    weights: Counter[str]
    created: float
    starts: float
    ends: float
    fate: str
    state: str = "PENDING"
    code: int = 0
    message: str = ""
    ended: float = 0.0
    odd_until: float = 0.0
    lines: dict[str, str] = field(default_factory=dict)
    unsteady: str = ""
    # What is wrong with its answer; `gone` when it is there no more.
    damage: str = ""
    result_bytes: int = 0

    @property
    def attempt(self) -> str:
        """``<shard>/<attempt>``, as the spend log names it."""
        return "/".join(self.display_name.split("/")[1:3])

    @property
    def tokens(self) -> int:
        """All tokens of its requests."""
        return self.weights.total()

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.state in TERMINAL


@dataclass(frozen=True, slots=True)
class RemoteInput:
    """An input file."""

    lines: tuple[bytes, ...]
    size: int
    born: float


class Remote:
    """The service's own state. `watch` is told of each job made and each job ended.

    Args:
        kernel: time and faults.
        quotas: enforced as the real service does.
        seed: of what becomes of jobs.
        shards: by the first eight characters of a fingerprint.
    """

    def __init__(
        self, kernel: Kernel, quotas: Quotas, seed: int, shards: dict[str, str], max_lag: float
    ) -> None:
        self.kernel, self.quotas, self.shards, self.max_lag = kernel, quotas, shards, max_lag
        self.random = random.Random(seed ^ 0xB111)
        self.jobs: dict[str, RemoteJob] = {}
        self.files: dict[str, RemoteInput] = {}
        self._made = 0
        self.reads_at_create = self.random.random() < 0.5
        self.bills_failures = self.random.random() < 0.5
        self.quota_hits: Counter[str] = Counter()
        self.storms = self._storms()
        self.on_made: Callable[[RemoteJob], None] = lambda job: None
        self.on_ended: Callable[[RemoteJob, Counter[str]], None] = lambda job, billed: None

    def _storms(self) -> list[tuple[float, float]]:
        storms = []
        while self.kernel.faults.draw("create", ("quota_storm",)):
            start = self.random.uniform(0, 4000)
            storms.append((start, start + self.random.choice((60.0, 900.0))))
        return storms

    # Files.

    def upload(self, name: str, lines: tuple[bytes, ...]) -> int:
        """Take a whole file under a chosen name."""
        size = sum(map(len, lines))
        if self._file(name) is not None:
            raise NameTakenError(f"{name} exists", 409)
        if self.stored() + size > self.quotas.file_bytes:
            self.quota_hits["file_bytes"] += 1
            raise QuotaError("file storage is full", 429)
        self.files[name] = RemoteInput(lines, size, self.kernel.now)
        return size

    def delete_file(self, name: str) -> None:
        """Delete an input file; generated names are refused."""
        self.advance()
        if name.startswith("files/batch-"):
            raise RefusedError("names of more than 40 characters cannot be deleted", 400)
        if self._file(name) is None:
            raise RemoteNotFoundError(f"{name} is not there", 404)
        del self.files[name]

    def stored(self) -> int:
        """Bytes of file storage in use: inputs, and results until they expire."""
        now = self.kernel.now
        inputs = sum(f.size for f in self.files.values() if f.born + FILE_LIFE > now)
        ended = [j for j in self.jobs.values() if j.file and j.done and j.ended + FILE_LIFE > now]
        return inputs + sum(job.result_bytes for job in ended)

    def _file(self, name: str) -> RemoteInput | None:
        file = self.files.get(name)
        return file if file is not None and file.born + FILE_LIFE > self.kernel.now else None

    # Jobs.

    def check_create(self, file: str, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """What a create is refused for; the lines that it will run over."""
        self.advance()
        now = self.kernel.now
        if any(start <= now < end for start, end in self.storms) and not self.kernel.faults.calm:
            after = self.random.choice((None, 20.0, 120.0))
            raise QuotaError("too many requests", 429, after)
        if file:
            found = self._file(file)
            if found is None:
                raise RemoteNotFoundError(f"{file} is not there", 404)
            lines = found.lines
        active = [job for job in self.jobs.values() if not job.done]
        tokens = sum(job.tokens for job in active) + weigh(lines).total()
        if len(active) >= self.quotas.jobs or tokens > self.quotas.tokens:
            self.quota_hits["jobs" if len(active) >= self.quotas.jobs else "tokens"] += 1
            raise QuotaError("quota exceeded", 429)
        return lines

    def commit(self, display_name: str, file: str, lines: tuple[bytes, ...]) -> RemoteJob:
        """Make the job, now."""
        now, draw = self.kernel.now, self.kernel.faults.draw
        self._made += 1
        fate = draw("job", ("job_failed", "job_expired", "job_cancelled", "job_stuck"))
        late = draw("job", ("job_slow_start",))
        starts = (
            now + self.random.choice(_LENGTHS) + (self.random.uniform(0, 47 * HOURS) * bool(late))
        )
        ends = starts + self.random.choice(_LENGTHS)
        if fate == "job_stuck":
            starts, fate = now + EXPIRY + 1, "job_expired"
        if fate == "job_expired" or ends > now + EXPIRY:
            ends, fate = now + EXPIRY, "job_expired"
        job = RemoteJob(
            name=f"batches/b{self._made:04}",
            display_name=display_name,
            requests=lines,
            file=file,
            weights=weigh(lines),
            created=now,
            starts=starts,
            ends=ends,
            fate=fate or "ok",
        )
        if draw("job", ("job_unknown_state",)):
            job.odd_until = starts + self.random.choice(_LENGTHS)
        if file and not self.reads_at_create and draw("job", ("input_gone",)):
            held = self.files.get(file)
            if held is not None:  # a create that is committed late may find it deleted already
                self.files[file] = replace(held, born=min(held.born, starts - FILE_LIFE))
        self.jobs[job.name] = job
        self.kernel.note(f"service: {job.name} {display_name} made, {job.fate}, ends {ends:.0f}")
        self.on_made(job)
        # Ends are billed at their time, whether anybody asks or not.
        self.kernel.at(starts, self.advance)
        self.kernel.at(ends, self.advance)
        return job

    def advance(self) -> None:
        """Let jobs start and end up to now."""
        now = self.kernel.now
        for job in self.jobs.values():
            if job.state == "PENDING" and job.starts <= now:
                gone = job.file and not self.reads_at_create and self._file(job.file) is None
                if gone:
                    self._end(job, "FAILED", 5, f"{job.file} is not there")
                else:
                    job.state = "RUNNING"
            if not job.done and job.ends <= now:
                self._finish(job)

    def _finish(self, job: RemoteJob) -> None:
        if job.fate == "job_expired":
            self._end(job, "EXPIRED", 4, "not done in 48 hours")
        elif job.fate == "job_cancelled":
            self._end(job, "CANCELLED", 1, "cancelled")
        elif job.fate == "job_failed":
            self._end(job, "FAILED", 13, "internal")
        elif self.kernel.faults.on("poison_job") and any(b"poison" in r for r in job.requests):
            self._end(job, "FAILED", 3, "a request is malformed")
        else:
            self._answer(job)

    def _end(self, job: RemoteJob, state: str, code: int, message: str) -> None:
        """End without answers; some of it may be billed all the same."""
        job.state, job.code, job.message, job.ended = state, code, message, self.kernel.now
        ran = job.starts <= self.kernel.now and code != 5
        billed = job.weights if ran and self.bills_failures else Counter[str]()
        self.kernel.note(f"service: {job.name} {state} {message}")
        self.on_ended(job, billed)

    def _answer(self, job: RemoteJob) -> None:
        draw = self.kernel.faults.draw
        job.lines, billed = answer_lines(job.requests, draw)
        if job.lines and draw("row", ("row_unsteady",)):
            job.unsteady = self.random.choice(sorted(job.lines))
        else:
            job.damage = draw_damage(job, draw)
        job.result_bytes = sum(map(len, job.lines.values()))
        job.state, job.ended = "SUCCEEDED", self.kernel.now
        wrong = f", {job.damage}" if job.damage else ""
        self.kernel.note(
            f"service: {job.name} SUCCEEDED {len(job.lines)}/{len(job.requests)} lines{wrong}"
        )
        self.on_ended(job, billed)

    def is_gone(self, job: RemoteJob) -> bool:
        """Whether a job's answer is there no more: taken away, or past its life."""
        return job.damage == "gone" or (job.done and job.ended + FILE_LIFE <= self.kernel.now)

    def find(self, name: str) -> RemoteJob:
        """A job by its name."""
        self.advance()
        if name not in self.jobs:
            raise RemoteNotFoundError(f"{name} is not there", 404)
        return self.jobs[name]

    def listed(self) -> list[RemoteJob]:
        """What a listing shows, newest first; jobs younger than the lag may be hidden from it."""
        self.advance()
        now, shown = self.kernel.now, []
        for job in self.jobs.values():
            lag = self.max_lag if self.kernel.faults.draw("list jobs", ("list_hides",)) else 0.0
            if self.kernel.faults.draw("list jobs", ("list_hides_beyond",)):
                lag = 40 * self.max_lag
            if now - job.created >= self.random.uniform(0, lag):
                shown.append(job)
        return sorted(shown, key=lambda job: job.created, reverse=True)

    def answered(self, job: RemoteJob) -> list[tuple[str, int]]:
        """``(shard, ordinal)`` of each line that carries a vector for certain."""
        steady = (line for line in job.lines.items() if line[0] != job.unsteady)
        return [(self.shards[start], ordinal) for start, ordinal in answered_keys(steady)]

    def view(self, job: RemoteJob) -> Job:
        """The job as a reply shows it."""
        odd = not job.done and job.starts <= self.kernel.now < job.odd_until
        failed = len(job.requests) - len(job.lines) if job.done else 0
        return Job(
            name=job.name,
            display_name=job.display_name,
            state="UNKNOWN" if odd else job.state,  # type: ignore[arg-type]
            raw_state="BATCH_STATE_ODD" if odd else f"BATCH_STATE_{job.state}",
            stats=JobStats(len(job.requests), len(job.lines), failed, 0),
            error=RemoteError(job.code, job.message) if job.code else None,
            create_time=_time(job.created),
            end_time=_time(job.ended) if job.done else "",
            input_file=job.file,
            responses_file=f"files/batch-{job.name[8:]}" if job.state == "SUCCEEDED" else "",
        )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(EPOCH + seconds, UTC).isoformat().replace("+00:00", "Z")
