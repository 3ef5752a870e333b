"""Open a committed run on a worker, and drive one lane of it."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from reembed.config.schema import Config
from reembed.core.records import Settled
from reembed.driver.clock import SystemClock
from reembed.driver.context import Context
from reembed.driver.events import LaneObserver, NullObserver
from reembed.driver.interrupt import Interrupt
from reembed.driver.lane import Lane, UnsettledShard
from reembed.driver.progress import Progress
from reembed.driver.shared_state import SharedStateStore
from reembed.errors import ReembedError
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.machine.quotas import Quotas
from reembed.machine.rules import HOLD_INPUT_SECONDS, Rules
from reembed.providers.base import BatchService, ClosingService
from reembed.providers.open import find_provider, open_provider
from reembed.storage.scratch import scratch_folder


@dataclass(frozen=True, slots=True)
class Session:
    """Committed run, as it travels to workers.

    It holds no key: workers read that from its secret or their own environment. With `one_round`,
    lanes leave what must wait instead of waiting for it; with `accept_repay`, answers that cannot
    be used are bought again; with `assume_lost`, what may have been sent too long ago to be found
    is sent again. `generation` is the settlement generation that the run is in.
    """

    config: Config
    run: str
    plan: str
    commit: int
    one_round: bool = False
    resumed: bool = False
    accept_repay: bool = False
    generation: int = 0
    assume_lost: bool = False

    @property
    def run_dir(self) -> RunDir:
        """Run directory, opened in this process."""
        return open_run_dir(self.config.run_dir)


def service_key(config: Config) -> str:
    """Return the API key, from its secret or this process's environment.

    Raises:
        UsageError: there is none, and the service is not on this machine.
        SecretError: Secret Manager does not answer.
    """
    return find_provider(config.service).key(os.environ)


def open_service(config: Config, key: str | None = None) -> ClosingService:
    """Open the configured service; nothing is sent yet. Every process opens it here.

    Args:
        config: names the service.
        key: its key, where that was read before; None reads it.

    Raises:
        UsageError: as `service_key`, or the address cannot be one.
        SecretError: Secret Manager does not answer.
    """
    return open_provider(config.service, service_key(config) if key is None else key)


def quotas_of(config: Config) -> Quotas:
    """Return the budget, and the project's quotas at the configured service."""
    return Quotas.of(config, find_provider(config.service).capabilities)


def rules_of(
    config: Config, run: str, holder: str, metadata_echo: bool, accept_repay: bool = False
) -> Rules:
    """Return the rules of the state machine for a configuration and its service.

    Raises:
        UsageError: jobs of the configured service cannot be driven without paying twice.
    """
    capabilities = find_provider(config.service).capabilities
    return Rules.of(config, capabilities, run, holder, metadata_echo, accept_repay)


def metadata_comes_back(run_dir: RunDir, config: Config) -> bool:
    """Tell whether a live check of this service saw inline metadata come back."""
    found = run_dir.live_findings()
    return bool(found.get("inline_keys")) and found.get("base_url") == config.service.base_url


def open_context(session: Session, scratch: Path, service: BatchService) -> Context:
    """Open the seams of a run in this process; the service is closed by who opened it."""
    config, run_dir = session.config, session.run_dir
    holder = f"{socket.gethostname()[:24]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    echo = metadata_comes_back(run_dir, config)
    rules = rules_of(config, session.run, holder, echo, session.accept_repay)
    # One round does not wait: an input that it kept would stand there until the next round.
    hold = 0.0 if session.one_round else HOLD_INPUT_SECONDS
    rules = replace(rules, hold_input=hold, assume_lost=session.assume_lost)
    return Context(
        config=config,
        commit=session.commit,
        plan=session.plan,
        rules=rules,
        run_dir=run_dir,
        service=service,
        ledger=Ledger(run_dir, session.commit, holder),
        spend=ReservationLog(run_dir, session.commit),
        clock=SystemClock(),
        scratch=scratch,
        generation=session.generation,
    )


def drive_lane(
    session: Session,
    number: int,
    lanes: int,
    interrupt: Interrupt | None = None,
    watch: LaneObserver | None = None,
) -> Iterator[tuple[str, Settled]]:
    """Drive every `lanes`-th shard from `number` on; yield those that are settled.

    Shards that are left, and what stopped the lane, go into its progress record: an exception
    would make the engine start all over. Once `interrupt` is set, the lane takes back what it has
    not sent, and leaves. `watch` observes the rest, on this thread.
    """
    interrupt = interrupt or Interrupt()
    config, watch = session.config, watch or NullObserver()
    stuck_after = config.batch.stuck_hours * 3600
    progress = Progress(session.run_dir, session.commit, number, stuck_after, watch)
    with interrupt.lane(), scratch_folder() as folder:
        try:
            with open_service(config) as service:
                context = replace(open_context(session, folder, service), watch=watch)
                yield from _drive(session, context, progress, interrupt, number, lanes)
        except ReembedError as err:
            # Not raised: an engine would start the bundle anew, and all its lanes with it.
            progress.end(failed=str(err))


def _drive(
    session: Session,
    context: Context,
    progress: Progress,
    interrupt: Interrupt,
    number: int,
    lanes: int,
) -> Iterator[tuple[str, Settled]]:
    clock = context.clock
    # Ages of claims and times of 429s are by the storage's clock, which all runners share; two
    # machines' own clocks may differ by more than a lease.
    offset = context.ledger.storage_now() - clock.now()
    shared = SharedStateStore(session.run, quotas_of(session.config), clock, offset)
    if session.resumed:
        # Jobs that the ledger does not know are adopted before anything is bought: a process that
        # died between its create and its record left one.
        began = clock.now()
        shared.set_listed_jobs(context.service.list_jobs(), began)
    every = context.run_dir.shards(session.plan)
    plans = list(islice(every, number, None, lanes))
    left: dict[str, int] = {}
    asked: list[str] = []
    lane = Lane(context, shared, progress, interrupt, session.one_round)
    for shard, result in lane.run(plans):
        if isinstance(result, UnsettledShard):
            left[result.reason] = left.get(result.reason, 0) + 1
            asked += [result.reason] if result.fails else []
        else:
            yield shard, result
    progress.end(failed=shared.current().halted or _summary(asked), left=left)


def _summary(asked: list[str]) -> str:
    """Summarise reasons that only the user can decide, without one line a shard."""
    more = f" ({len(asked) - 1} more like this in this lane)" if len(asked) > 1 else ""
    return f"{asked[0]}{more}" if asked else ""
