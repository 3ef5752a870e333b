"""Rules of a run (constants of every decision), and the state that all its shards share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reembed.config.capabilities import Capabilities
from reembed.config.schema import Config
from reembed.core.names import parse_display_name
from reembed.errors import UsageError
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations

# How long an input that met a 429 stays uploaded: the service's bucket is reported to refill in 10
# to 20 minutes, and the waits grow from half a minute.
HOLD_INPUT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Rules:
    """Constants of a run; seconds throughout.

    Attributes:
        run: id of the run.
        holder: name of this process in claims.
        max_attempts: how often a request is sent at most.
        poll: the shortest and the longest interval between two polls of a job.
        lease: age at which a claim that was not renewed may be taken over.
        request_timeout: how long a sender waits for the answer to its create.
        list_lag: how much later than it was created the service may list a job.
        stuck_after: age at which a job that has not ended counts as stuck.
        job_list_retention: how long the service lists a job.
        capabilities: what the service can do, and its limits.
        inline: the configured form of the input: ``auto``, ``inline`` or ``file``.
        metadata_echo: this service was seen to give inline metadata back; without it ``auto``
            never chooses inline, since nothing would assign answers to requests.
        resubmit_stuck: stuck jobs are cancelled and sent again.
        accept_repay: answers that cannot be used are bought again.
        hold_input: how long an uploaded input is kept for another try after the first 429.
        assume_lost: a job that may be too old to be listed is taken for lost, and sent again.
    """

    run: str
    holder: str
    max_attempts: int
    poll: tuple[float, float]
    lease: float
    request_timeout: float
    list_lag: float
    stuck_after: float
    job_list_retention: float
    capabilities: Capabilities
    inline: str = "auto"
    metadata_echo: bool = False
    resubmit_stuck: bool = False
    accept_repay: bool = False
    hold_input: float = 0.0
    assume_lost: bool = False

    @classmethod
    def of(
        cls,
        config: Config,
        capabilities: Capabilities,
        run: str,
        holder: str,
        metadata_echo: bool,
        accept_repay: bool = False,
        assume_lost: bool = False,
        hold_input: float = 0.0,
    ) -> Rules:
        """Collect the rules of a configuration.

        Raises:
            UsageError: jobs of the configured service cannot be driven without paying twice.
        """
        check_drivable(config.service.provider, capabilities)
        batch = config.batch
        return cls(
            run=run,
            holder=holder,
            max_attempts=batch.max_attempts,
            poll=batch.poll_seconds,
            lease=batch.lease_seconds,
            request_timeout=config.service.timeout_seconds,
            list_lag=batch.list_lag_seconds,
            stuck_after=batch.stuck_hours * 3600,
            job_list_retention=(batch.job_list_days or capabilities.job_list_days) * 86400,
            capabilities=capabilities,
            inline=batch.input,
            metadata_echo=metadata_echo,
            resubmit_stuck=batch.on_stuck == "resubmit",
            accept_repay=accept_repay,
            hold_input=hold_input,
            assume_lost=assume_lost,
        )


def check_drivable(provider: str, capabilities: Capabilities) -> None:
    """Check that a service gives what every decision about a lost job rests on.

    Raises:
        UsageError: it does not; names what is missing.
    """
    # A create whose reply was lost is looked for by its display name: without a list it could
    # only be sent again, and paid again.
    if not capabilities.lists_jobs:
        missing = "list its jobs by name, so a job whose reply was lost would be paid twice"
    # A holder that was held up past its lease must be kept from creating beside its successor.
    elif not capabilities.inputs_fence:
        missing = "refuse a job whose input was deleted, so two runners could create it twice"
    else:
        return
    raise UsageError(
        f"service.provider: {provider} does not {missing}; give another provider, or have this one "
        "keep its jobs in the run directory"
    )


@dataclass(frozen=True, slots=True)
class ListedJob:
    """Remote job of this run, as a listing showed it; `fingerprint` is that of its name."""

    shard: str
    attempt: str
    job: str
    display_name: str
    create_time: str = ""
    input_file: str = ""
    state: str = ""
    done: bool = False
    fingerprint: str = ""

    @classmethod
    def of(
        cls,
        run: str,
        job: str,
        display_name: str,
        *,
        create_time: str,
        input_file: str,
        state: str,
        done: bool,
    ) -> ListedJob | None:
        """Take a remote job in by its display name; None when it is not of this run."""
        name = parse_display_name(display_name)
        if name is None or name.run != run:
            return None
        return cls(
            shard=name.shard,
            attempt=name.attempt,
            job=job,
            display_name=display_name,
            create_time=create_time,
            input_file=input_file,
            state=state,
            done=done,
            fingerprint=name.fingerprint,
        )


def jobs_by_attempt(
    jobs: Iterable[ListedJob],
) -> dict[tuple[str, str], tuple[ListedJob, ...]]:
    """Group listed jobs by ``(shard, attempt)``, in the order of the listing."""
    found: dict[tuple[str, str], tuple[ListedJob, ...]] = {}
    for job in jobs:
        key = (job.shard, job.attempt)
        found[key] = (*found.get(key, ()), job)
    return found


@dataclass(frozen=True, slots=True)
class SharedState:
    """State that all shards of a run share, at one moment.

    Attributes:
        now: the local monotonic clock.
        storage_now: the storage's wall clock.
        reservations: the fold of the reservation log, as of `reservations_read_at`.
        quotas: the configured quotas under the ceiling that the log shows.
        stopped: the user wants no more jobs created (`reembed cancel`).
        halted: why this process creates no more jobs; empty while it may.
        listed_at: when the last listing of remote jobs began.
        listed_jobs: the jobs of that listing by ``(shard, attempt)``.
        reservations_read_at: when the reservation log was last read to its tail.
        refreshed_for: the ``shard/attempt`` for which it was last read.
        reservations_changed_at: when the log was last seen to have grown.
    """

    now: float
    storage_now: float
    reservations: Reservations
    quotas: Quotas
    stopped: bool = False
    halted: str = ""
    listed_at: float = float("-inf")
    listed_jobs: Mapping[tuple[str, str], tuple[ListedJob, ...]] = field(default_factory=dict)
    reservations_read_at: float = float("-inf")
    refreshed_for: str = ""
    reservations_changed_at: float = float("-inf")

    @property
    def may_create(self) -> bool:
        """Tell whether jobs may be created: neither the user nor this process has stopped it."""
        return not self.halted and not self.stopped
