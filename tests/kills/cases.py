"""One case: start, kill, resume to the end, and compare with what an undisturbed run left."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kills.outcome import Output, Problem, problems_of, read_output
from kills.points import Point
from kills.proxy import KillingProxy
from kills.runners import CommandStarter, LaneStarter, Running, Starter
from kills.scenarios import Prepared, write_config
from kills.service import Emulator, Paid
from kills.writes import Watch
from reembed.core.records import Commit
from reembed.driver.session import Session
from reembed.ledger.layout import Layout

MOST_RESUMES = 8
_PATIENCE = 60.0
_WILLING = (0, 75, -9)


@dataclass(frozen=True)
class Case:
    """A scenario and where its first call is killed, then its second, and so on; then to the end.

    `fast` drives lanes without Beam. With `two` runners the second is never armed: it goes on
    while the first is killed.
    """

    scenario: str
    points: tuple[Point, ...] = ()
    fast: bool = True
    plant: str = ""

    def __str__(self) -> str:
        where = ", then ".join(map(str, self.points)) or "undisturbed"
        return f"{self.scenario}: {where}"


@dataclass(frozen=True)
class Verdict:
    """What came of a case; `reached` is false when a call ended before its point.

    `requests` and `writes` are those of the last call that was armed, by kind.
    """

    case: Case
    reached: bool
    calls: int
    output: Output
    paid: Paid
    lost: int
    problems: Sequence[Problem]
    requests: Mapping[str, int] = field(default_factory=dict)
    writes: Mapping[str, int] = field(default_factory=dict)


class Bench:
    """A place to run cases one after another: an emulator, a proxy and a folder of its own."""

    MOST_CASES = 60

    def __init__(self, folder: Path, prepared: Mapping[str, Prepared]) -> None:
        self._folder, self._prepared = folder, prepared
        self._cases = 0
        self._emulator: Emulator | None = None

    def close(self) -> None:
        if self._emulator is not None:
            self._emulator.close()
            shutil.rmtree(self._emulator.folder)
            self._emulator = None

    def run(self, case: Case, reference: Output | None) -> Verdict:
        """Run a case; without a reference it is the undisturbed run itself."""
        if self._cases % self.MOST_CASES == 0:
            self.close()
            self._emulator = Emulator(self._folder / f"service-{self._cases}")
        assert self._emulator is not None
        self._cases += 1
        prepared = self._prepared[case.scenario]
        # The configuration of a real run lies beside its corpus, whose keys are relative to it.
        home = self._folder / "runs" if case.fast else prepared.folder
        run_dir = home / f"{self._folder.name}-{self._cases:05}"
        proxy = KillingProxy(self._emulator.url)
        try:
            verdict = _Trial(case, prepared, run_dir, self._emulator, proxy).run(reference)
        finally:
            proxy.close()
        if not verdict.problems:
            shutil.rmtree(run_dir)
        return verdict


class _Trial:
    """The steps of one case."""

    def __init__(
        self,
        case: Case,
        prepared: Prepared,
        run_dir: Path,
        emulator: Emulator,
        proxy: KillingProxy,
    ) -> None:
        self.case, self.prepared, self.run_dir = case, prepared, run_dir
        self.emulator, self.proxy = emulator, proxy
        self.codes: list[int] = []
        self.log = run_dir.with_name(f"{run_dir.name}.log")
        self.said = run_dir.with_name(f"{run_dir.name}.said")
        self.writes: Counter[str] = Counter()
        self.starter = self._starter()

    def _starter(self) -> Starter:
        scenario = self.prepared.scenario
        if not self.case.fast:
            config = write_config(scenario, self.prepared.folder, self.run_dir, self.proxy.url)
            return CommandStarter(config)
        shutil.copytree(self.prepared.run_dir, self.run_dir)
        # A run of its own for each copy, so that cases can share a service.
        run = hashlib.sha256(f"{self.run_dir} {self.case}".encode()).hexdigest()[:12]
        record = Path(Layout(str(self.run_dir)).commit(1))
        record.write_bytes(self.prepared.commit.model_copy(update={"run": run}).encode())
        loaded = self.prepared.loaded.config
        service = loaded.service.model_copy(update={"base_url": self.proxy.url})
        changed = loaded.model_copy(update={"run_dir": str(self.run_dir), "service": service})
        return LaneStarter(Session(changed, run, self.prepared.commit.plan, 1), self.case.plant)

    def run(self, reference: Output | None) -> Verdict:
        self.emulator.faults(self.prepared.scenario.faults)
        reached = True
        for number, point in enumerate(self.case.points or (None,)):
            killed = self._call(number > 0, point)
            reached = reached and (killed or point is None)
        requests, writes = dict(self.proxy.counts), dict(self.writes)
        calls = max(1, len(self.case.points))
        while not self._is_over() and calls <= MOST_RESUMES:
            calls += 1
            self._call(True, None)
        commit = Commit.decode((self.run_dir / "ledger" / "commit.0001").read_bytes(), "commit")
        paid, output = self.emulator.paid(commit.run), read_output(self.run_dir)
        problems = problems_of(self.run_dir, commit, paid, output, reference)
        words = self.said.read_text() if self.said.exists() else ""
        # Of two that plan at once one commits, and the other is told to come again.
        joins = words.count("run again to join it")
        odd = [code for code in self.codes if code not in _WILLING]
        if odd != [1] * joins or not self._is_over():
            problems.append(Problem("ended", f"exit codes {self.codes}: {words[-2000:]}"))
        lost = len(reference.keys - output.keys) if reference else 0
        self.emulator.hide(commit.run)
        return Verdict(self.case, reached, calls, output, paid, lost, problems, requests, writes)

    def _is_over(self) -> bool:
        """Whether the run has ended: from there on the command would begin the next one."""
        published = Path(Layout(str(self.run_dir)).run_published(1, 0)).exists()
        return published or 0 in self.codes[-self.prepared.scenario.runners :]

    def _call(self, resumed: bool, point: Point | None) -> bool:
        """One call, or several at once; whether a process was killed at the point."""
        in_write = point if point is not None and point.what == "write" else None
        self.proxy.arm(point if in_write is None else None)
        self.log.unlink(missing_ok=True)
        root = str(self.run_dir)
        watches = [Watch(root, str(self.log), in_write)]
        watches += [Watch(root, f"{self.log}.other")] * (self.prepared.scenario.runners - 1)
        started = [self.starter.start(watch, self.said, resumed) for watch in watches]
        self.proxy.watch([running.pid for running in started])
        codes = _wait_for_all(started)
        self.codes += codes
        self.writes = Counter(self.log.read_text().split("\n")[:-1] if self.log.exists() else ())
        return -9 in codes


def _wait_for_all(started: Sequence[Running]) -> list[int]:
    codes = [0] * len(started)

    def wait(index: int) -> None:
        try:
            codes[index] = started[index].wait(_PATIENCE)
        except TimeoutError:
            codes[index] = 124

    threads = [threading.Thread(target=wait, args=(index,)) for index in range(len(started))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes
