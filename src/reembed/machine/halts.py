"""Halts: what makes a process create no more jobs, while it collects those that run.

A halt is a fault that no retry mends and that would meet every other shard too: bought on, each of
thousands of shards would fail, or be paid, in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reembed.machine.endings import is_request_shaped
from reembed.machine.snapshot import ShardRecords

# So many jobs refused as malformed, with none that came through, point to the configuration.
REFUSALS_BEFORE_HALT = 3
# Epochs of one attempt whose input file may be gone at the create before that is taken for a fault:
# an input may expire, or be fenced by another process, but not again and again.
MOST_LOST_INPUTS = 4


@dataclass(frozen=True, slots=True)
class JobEndings:
    """Jobs of this run whose ends this process has seen or read of."""

    succeeded: int = 0
    malformed: int = 0

    def add(self, state: str, error_code: int) -> JobEndings:
        """Count the end of one more job."""
        if state == "SUCCEEDED":
            return replace(self, succeeded=self.succeeded + 1)
        if is_request_shaped(state, error_code):
            return replace(self, malformed=self.malformed + 1)
        return self

    def add_recorded(self, records: ShardRecords) -> JobEndings:
        """Count the outcomes that the ledger has of a shard.

        Only successes: jobs refused in an earlier call were counted there, and the user has called
        again since, with another configuration perhaps.
        """
        won = sum(outcome.state == "SUCCEEDED" for outcome in records.outcomes.values())
        return replace(self, succeeded=self.succeeded + won)


def halt_after_refusals(endings: JobEndings) -> str:
    """Why creating halts when the first jobs are all refused as malformed; empty for no halt.

    One success shows that configuration and service agree; from then on a refusal is about the
    requests of that one job.
    """
    if endings.succeeded or endings.malformed < REFUSALS_BEFORE_HALT:
        return ""
    return (
        f"the first {REFUSALS_BEFORE_HALT} jobs were all refused as malformed: it is the "
        "configuration or the service's rules, not single inputs; see the outcomes' causes"
    )


def halt_for_unusable_answers(records: ShardRecords, accept_repay: bool) -> str:
    """Why creating halts for an answer that an earlier call could not use; empty for no halt."""
    if accept_repay:
        return ""
    waiting = (
        reason
        for attempt, reason in sorted(records.suspects.items())
        if attempt not in records.outcomes
    )
    return next(waiting, "")


def halt_for_missing_input(epoch: int, inline: bool, message: str) -> str:
    """Why creating halts when the service does not find what a create names; empty for no halt.

    Of an inline job only the model can be missing, which no retry brings back.
    """
    if inline or epoch > MOST_LOST_INPUTS:
        return f"the service does not find what a job needs: {message}"
    return ""


def halt_for_refused_create(message: str) -> str:
    """Why creating halts when the service refuses a create for good."""
    return f"the service refuses to create a job: {message}"


def halt_for_refused_upload(message: str) -> str:
    """Why creating halts when the service refuses an input file for good."""
    return f"the service does not take the input file: {message}"
