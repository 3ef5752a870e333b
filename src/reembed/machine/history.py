"""History of one request through the attempts of its shard."""

from __future__ import annotations

from dataclasses import dataclass

from reembed.core.names import attempt_order
from reembed.core.records import Ranges
from reembed.machine.snapshot import ShardRecords
from reembed.machine.states import ShardState


@dataclass(frozen=True, slots=True)
class Step:
    """One attempt that a request went through.

    `epochs` are those that were claimed, `void` those of them in which nothing was sent. `state`
    is how the job ended, empty while it has not; `goes_on` names the attempt that sends it again.
    """

    attempt: str
    epochs: tuple[int, ...]
    void: tuple[int, ...]
    job: str
    state: str
    cause: str
    ended: str
    goes_on: str


def history_of(state: ShardState, records: ShardRecords, request: int) -> list[Step]:
    """Every attempt that has sent, or is to send, one request; parents before children.

    Args:
        state: of the shard.
        records: what the state was built from.
        request: the ordinal.
    """
    return [
        _step(path, records, request)
        for path in sorted(state.attempts, key=attempt_order)
        if _sends(state.attempts[path].ordinals, request)
    ]


def _sends(ordinals: Ranges | None, request: int) -> bool:
    return ordinals is None or any(start <= request < end for start, end in ordinals)


def _step(path: str, records: ShardRecords, request: int) -> Step:
    claims = sorted(records.claims.get(path, ()))
    created, outcome = records.created.get(path), records.outcomes.get(path)
    children = outcome.children if outcome is not None else {}
    goes_on = [name for name, child in children.items() if _sends(child.ordinals, request)]
    return Step(
        attempt=path,
        epochs=tuple(claims),
        void=tuple(epoch for epoch in claims if (path, epoch) in records.voids),
        job=created.job if created is not None else (outcome.job if outcome is not None else ""),
        state=outcome.state if outcome is not None else "",
        cause=outcome.cause if outcome is not None else "",
        ended=outcome.end_time if outcome is not None else "",
        goes_on=goes_on[0] if goes_on else "",
    )
