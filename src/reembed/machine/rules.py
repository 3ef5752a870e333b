"""Constants of the decisions, and the state that all shards of a run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reembed.config.capabilities import Capabilities
from reembed.core.plans import ShardPlan
from reembed.core.records import Need
from reembed.errors import UsageError
from reembed.machine.reservations import Quotas, Reservations


@dataclass(frozen=True, slots=True)
class Rules:
    """Constants of a run. Seconds throughout; `poll` is the shortest and the longest interval.

    `capabilities` are the service's. `retention` is how long it lists a job; with `assume_lost`,
    one that may be older is taken for lost, and its requests are sent again.

    `inline` is the configured form; `metadata_echo` whether this service has been seen to give
    inline metadata back, without which `auto` never chooses inline. `hold` is how long an uploaded
    input is kept for another try after a 429, from the first on.
    """

    run: str
    holder: str
    max_attempts: int
    poll: tuple[float, float]
    lease: float
    request_timeout: float
    list_lag: float
    stuck: float
    retention: float
    capabilities: Capabilities
    inline: str = "auto"
    metadata_echo: bool = False
    resubmit_stuck: bool = False
    accept_repay: bool = False
    hold: float = 0.0
    assume_lost: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A remote job that a scan saw under an attempt's display name."""

    job: str
    display_name: str
    create_time: str
    input_file: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class SharedState:
    """What is common to all shards at this moment.

    `now` is the local monotonic clock, `storage_now` the storage's wall clock. `found` maps
    ``(shard, attempt)`` to the remote jobs of that name as of `scanned_at`, when the listing
    began; `reservations_at` is when the spend log was last read to its tail, `asked` for which
    ``shard/attempt`` that was, and `quiet_since` when it was last seen to have moved. `quotas`
    are those under the ceiling that the log tells.
    """

    now: float
    storage_now: float
    reservations: Reservations
    quotas: Quotas
    stopped: bool = False
    halted: str = ""
    listed_at: float = float("-inf")
    listed_jobs: Mapping[tuple[str, str], tuple[Found, ...]] = field(default_factory=dict)
    reservations_read_at: float = float("-inf")
    refreshed_for: str = ""
    reservations_changed_at: float = float("-inf")


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


def root_need(plan: ShardPlan) -> Need:
    """What an attempt over all requests of a shard takes, at most, when its input is a file."""
    return Need(
        usd_nano=plan.usd_nano,
        tokens=plan.total_tokens,
        jobs=1,
        input_bytes=plan.wire_bytes,
        result_bytes=plan.result_bytes,
    )


def without_files(need: Need) -> Need:
    """The same need for an inline job, which leaves nothing in the file storage."""
    return need.model_copy(update={"input_bytes": 0, "result_bytes": 0})


def goes_inline(need: Need, rules: Rules, most_bytes: int | None = None) -> bool:
    """Whether an attempt's requests travel in the create's body.

    `auto` asks for a small body *and* a small predicted result, and for a service that gives the
    metadata back: the fence against a frozen holder exists only for files. `most_bytes` stands
    for the body's usual bound.
    """
    if rules.inline == "inline":
        return True
    if rules.inline == "file" or not rules.metadata_echo:
        return False
    service = rules.capabilities
    most = service.inline_request_bytes if most_bytes is None else most_bytes
    return need.input_bytes <= most and need.result_bytes <= service.inline_result_bytes


def form_of(name: str, need: Need, shared: SharedState, rules: Rules) -> Need:
    """What an attempt takes in the form in which it goes: no file bytes means inline.

    The form that was reserved stands. Where files have no room and `auto` may go inline, a body
    up to the service's limit is preferred to waiting for hours until results expire.

    Args:
        name: ``shard/attempt``, as the spend log has it.
        need: of the attempt, as a file.
        shared: with the reservations.
        rules: of the run.
    """
    if goes_inline(need, rules):
        return without_files(need)
    inline = without_files(need)
    if not goes_inline(need, rules, rules.capabilities.max_inline_bytes):
        return need
    reserved = shared.reservations.live.get(name)
    if reserved is not None:
        return need if reserved[1].input_bytes else inline
    now, ceiling = shared.storage_now, shared.reservations.ceiling
    no_file = ceiling.opens(need) > max(now, ceiling.opens(inline))
    no_room = shared.reservations.room(name, need, shared.quotas, now) == "busy"
    fits = shared.reservations.room(name, inline, shared.quotas, now) == "fits"
    return inline if fits and (no_file or no_room) else need


def is_inline(need: Need, rules: Rules) -> bool:
    """Whether a need, as `form_of` gives it, is that of an inline job."""
    return rules.inline != "file" and need.input_bytes == 0
