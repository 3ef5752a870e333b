"""Run many cases beside each other, each bench with its own service, proxy and folder."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from kills.cases import Bench, Case, Verdict
from kills.matrix import cases_of, resume_cases_of, worst_of
from kills.outcome import Output
from kills.runners import start_forkserver
from kills.scenarios import SCENARIOS, Prepared, prepare


class Benches:
    """Benches that share prepared scenarios; `references` are what undisturbed runs left."""

    def __init__(self, folder: Path, workers: int, names: Iterable[str]) -> None:
        start_forkserver()
        self.prepared: dict[str, Prepared] = {}
        for name in names:
            (folder / name).mkdir()
            self.prepared[name] = prepare(SCENARIOS[name], folder / name)
        self.references: dict[str, Output] = {}
        self._free: queue.SimpleQueue[Bench] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="kills")
        self._all = [Bench(folder / f"bench-{n}", self.prepared) for n in range(workers)]
        for number, bench in enumerate(self._all):
            (folder / f"bench-{number}" / "runs").mkdir(parents=True)
            self._free.put(bench)

    def run(self, cases: Iterable[Case]) -> Iterator[Verdict]:
        """Run cases, and yield each when it has ended; undisturbed ones become references."""
        futures = [self._pool.submit(self._one, case) for case in cases]
        for future in as_completed(futures):
            verdict = future.result()
            if not verdict.case.points and not verdict.case.plant:
                self.references[verdict.case.scenario] = verdict.output
            yield verdict

    def _one(self, case: Case) -> Verdict:
        bench = self._free.get()
        try:
            return bench.run(case, self.references.get(case.scenario))
        finally:
            self._free.put(bench)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        for bench in self._all:
            bench.close()


@contextmanager
def benches(folder: Path, workers: int, names: Iterable[str]) -> Iterator[Benches]:
    """Benches until the block ends."""
    made = Benches(folder, workers, names)
    try:
        yield made
    finally:
        made.close()


def all_cases(
    made: Benches, fast: bool, wanted: Callable[[Case], bool]
) -> tuple[dict[str, list[Case]], list[Verdict]]:
    """Run each scenario undisturbed, and the worst case of some; all cases, by scenario."""
    undisturbed = list(made.run(Case(name, (), fast) for name in made.prepared))
    alone = [v for v in undisturbed if SCENARIOS[v.case.scenario].runners == 1]
    worst = list(made.run(worst_of(verdict) for verdict in alone))
    found: dict[str, list[Case]] = {name: [] for name in made.prepared}
    for verdict in undisturbed:
        found[verdict.case.scenario] += cases_of(verdict)
    for verdict in worst:
        found[verdict.case.scenario] += resume_cases_of(verdict)
    cases = {name: [case for case in group if wanted(case)] for name, group in found.items()}
    return cases, [*undisturbed, *worst]
