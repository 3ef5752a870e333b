"""Virtual time and a seeded scheduler: processes are greenlets that yield at every seam."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from reembed.storage.parallel import in_one_thread
from simulation.faults import Faults

T = TypeVar("T")

# Pauses around an operation, seconds of true time. Zero is common: then the tie decides.
_QUICK = (0.0, 0.0, 0.0, 0.01, 0.1, 0.4)
_SLOW = (2.0, 7.0, 20.0)
_FROZEN = (40.0, 150.0, 320.0, 700.0, 5_000.0, 40_000.0, 200_000.0)


_STRIKES = {side: (f"kill_{side}", f"freeze_{side}") for side in ("before", "after")}
# Of light operations, the share that takes no time.
_TOGETHER = 0.9


class KilledError(BaseException):
    """SIGKILL: unwinds a process; no `except Exception` of the code under test can hold it."""


class EndlessError(Exception):
    """A seed took more steps than any run can need."""


class Process:
    """One simulated process: its greenlet, its clock, and what the world notes of it."""

    def __init__(self, kernel: Kernel, name: str, rate: float, offset: float) -> None:
        self.kernel, self.name, self.rate, self.offset = kernel, name, rate, offset
        # Since when it runs, and whether its user accepts to pay again for what cannot be used.
        self.began, self.accepts = kernel.now, False
        self.renew: Callable[[], None] | None = None
        # True times: of the last look at the stop records, of the last look at each folder of
        # records, and of the moment when it last woke.
        self.looked = float("-inf")
        self.looks: dict[str, float] = {}
        self.woke = float("-inf")

    def now(self) -> float:
        """This process's monotonic clock."""
        return self.offset + self.rate * self.kernel.now


class Kernel:
    """The event loop; the only source of randomness is one `random.Random`."""

    def __init__(self, seed: int, faults: Faults, max_steps: int = 150_000) -> None:
        self.random = random.Random(seed)
        self.now, self.steps, self.max_steps = 0.0, 0, max_steps
        self.faults = faults
        self.trace: Callable[[str], None] | None = None
        self._events: list[tuple[float, float, int, Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._hub = getcurrent()

    def at(self, time: float, act: Callable[[], Any]) -> None:
        """Do something at a true time; ties are broken by the seed."""
        entry = (max(time, self.now), self.random.random(), next(self._numbers), act)
        heapq.heappush(self._events, entry)

    def spawn(self, process: Process, main: Callable[[], None], delay: float = 0.0) -> None:
        """Start a process; `main` must not raise."""

        def begin() -> None:
            in_one_thread.set(True)
            main()

        self.at(self.now + delay, greenlet(begin, self._hub).switch)

    def run(self) -> None:
        """Run until nothing is left to happen.

        Raises:
            EndlessError: too many steps.
        """
        while self._events:
            self.steps += 1
            if self.steps > self.max_steps:
                raise EndlessError(f"{self.steps} steps, at {self.now:.0f} s of virtual time")
            time, _, _, act = heapq.heappop(self._events)
            self.now = max(self.now, time)
            act()

    def pause(self, seconds: float) -> None:
        """Let true time pass for the process that runs; others run meanwhile."""
        self.at(self.now + seconds, getcurrent().switch)
        self._hub.switch()

    def note(self, text: str) -> None:
        """Add a line to the trace, when somebody reads it."""
        if self.trace is not None:
            self.trace(f"{self.now:12.2f} {text}")

    def call(
        self,
        process: Process,
        op: str,
        effect: Callable[[], T],
        before: Mapping[str, Callable[[], BaseException]],
        after: Mapping[str, Callable[[], BaseException]],
        light: bool = False,
    ) -> T:
        """One seam operation: request, effect, reply; a fault may strike on either side.

        Args:
            process: who calls.
            op: its name, for the table.
            effect: what it does to the world, at one instant.
            before: faults by name that strike instead of the effect, with what the caller gets.
            after: faults by name that strike after the effect.
            light: nobody can tell when it happened, such as a read of what never changes; most
                of these take no time and let nobody else run.
        """
        self._way(process, op, "before", before, light)
        try:
            value = effect()
        except Exception as err:
            self.note(f"{process.name} {op} -> {type(err).__name__}: {err}")
            self.pause(self._latency(op))
            raise
        self.note(f"{process.name} {op}")
        self._way(process, op, "after", after, light)
        return value

    def _way(
        self,
        process: Process,
        op: str,
        side: str,
        errors: Mapping[str, Callable[[], BaseException]],
        light: bool,
    ) -> None:
        """The way to the seam or back from it."""
        fault = self.faults.draw(op, (*_STRIKES[side], *errors))
        if fault:
            self.note(f"{process.name} {op} !! {fault}")
        elif light and self.random.random() < _TOGETHER:
            return
        if fault.startswith("freeze"):
            self.freeze(process, op)
        else:
            self.pause(self._latency(op))
        if fault.startswith("kill"):
            raise KilledError(op)
        if fault in errors:
            raise errors[fault]()

    def freeze(self, process: Process, op: str, least: float = 0.0) -> None:
        """Stop a process for long, at least `least` seconds; its clock may stop as well."""
        began = self.now
        self.pause(self.random.choice([t for t in _FROZEN if t >= least]))
        if self.faults.draw(op, ("suspend",)):
            # As a laptop that slept: a monotonic clock does not count that time.
            process.offset -= process.rate * (self.now - began)
        process.woke = self.now
        self.note(f"{process.name} wakes in {op}")

    def _latency(self, op: str) -> float:
        if self.faults.draw(op, ("slow",)):
            return self.random.choice(_SLOW)
        return self.random.choice(_QUICK)
