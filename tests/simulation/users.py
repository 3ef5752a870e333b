"""What people do to a run while it goes on: stop it, send rejects again, change its sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from reembed.errors import StorageError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.ledger import Ledger
from reembed.ledger.run_dir import RunDir
from reembed.runs.redrive import write_redrive
from simulation.corpus import RUN_DIR
from simulation.disk import SimStorage
from simulation.kernel import KilledError, Process

if TYPE_CHECKING:
    from simulation.world import SimWorld

_LAYOUT = Layout(RUN_DIR)
# A scheduler that starts a round every few minutes must not outlast a seed.
_MOST_ROUNDS = 10


class Users:
    """The people and the schedulers around one run."""

    def __init__(self, world: SimWorld) -> None:
        self._world, self._random = world, world.random

    def stop(self) -> None:
        """`reembed cancel` in mid run, without its remote half; sometimes lifted again."""
        kernel = self._world.kernel

        def act(process: Process) -> None:
            ledger = Ledger(RunDir(SimStorage(self._world.disk, process), _LAYOUT), 1, "user")
            ledger.stop("stop", "enough")
            if self._random.random() < 0.5:
                kernel.pause(self._random.choice((1.0, 300.0, 5_000.0)))
                ledger.stop("lift", "go on")

        self._spawn(act, self._random.uniform(0, 2000), again=False)

    def schedule(self, every: float) -> None:
        """`reembed advance` every so many seconds, beside whatever else runs."""
        world = self._world

        def begin(count: int) -> None:
            if world.faults.calm or count == _MOST_ROUNDS or self._is_settled():
                return
            world.checks.outside["rounds that a scheduler began"] += 1
            world.spawn(0.0, one_round=True)
            world.kernel.at(world.kernel.now + every, lambda: begin(count + 1))

        world.kernel.at(world.kernel.now + every, lambda: begin(0))

    def change_sources(self) -> None:
        """Objects that change after the plan: before their requests are rendered, or later."""
        world = self._world
        for uri in sorted(world.corpus.sources):
            if world.faults.draw("source", ("source_changed",)):
                at = self._random.choice((0.0, self._random.uniform(0, 3000)))
                world.kernel.at(at, lambda uri=uri: world.disk.write(uri, b"changed", True))

    def redrive(self, generation: int) -> bool:
        """`reembed redrive`, by one user or two at once; whether there was anything to send."""
        reasons = ((), (), ("stopped", "cancelled", "missing"))
        for number in range(self._random.choice((1, 1, 2))):
            wanted = self._random.choice(reasons) if number else ()
            self._spawn(lambda process, wanted=wanted: self._send_again(process, wanted), 0.0)
        self._world.kernel.run()
        return _LAYOUT.redrives(1, generation) in self._world.disk.objects

    def _send_again(self, process: Process, reasons: tuple[str, ...]) -> None:
        storage = SimStorage(self._world.disk, process)
        plan = self._world.parts.plan_redrive
        try:
            commit, generation, found = plan(RunDir(storage, _LAYOUT), self._world.config, reasons)
        except UsageError as err:
            self._world.kernel.note(f"{process.name} redrives nothing: {err}")
            return
        write_redrive(RunDir(storage, _LAYOUT), commit, generation, found)

    def _spawn(self, act: Callable[[Process], None], delay: float, again: bool = True) -> None:
        """Let a user act; who is cut off tries again, or lets it be."""
        process = self._world.process()

        def live() -> None:
            try:
                act(process)
            except (KilledError, StorageError) as err:
                self._world.kernel.note(f"{process.name}, a user, is cut off: {err}")
                if again:
                    self._spawn(act, self._random.choice((1.0, 500.0)))

        self._world.kernel.spawn(process, live, delay)

    def _is_settled(self) -> bool:
        folder = _LAYOUT.run(1)
        names = self._world.disk.under(f"{folder}/settled.g")
        return len(names) > len(self._world.disk.under(f"{folder}/redrive.g"))
