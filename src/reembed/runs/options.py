"""Options of a run: what a caller may choose, and whom it tells of the stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from reembed.core.plans import PlanSummary
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session
from reembed.errors import UsageError
from reembed.ledger.run_dir import RunDir

Mode = Literal["run", "submit", "advance"]


class Observer(Protocol):
    """Receives the stages of a call, for instance to show them; nothing below it prints."""

    def planning(self, run_dir: RunDir) -> None:
        """Planning begins."""

    def planned(self, plan: PlanSummary) -> None:
        """Planning has ended: the plan is complete."""

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Embedding begins."""

    def ended(self) -> None:
        """Nothing changes any more."""

    def say(self, text: str) -> None:
        """Something is about to be done that takes time or money."""


class Unobserved:
    """Observer that shows nothing."""

    def planning(self, run_dir: RunDir) -> None:
        """Show nothing."""

    def planned(self, plan: PlanSummary) -> None:
        """Show nothing."""

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Show nothing."""

    def ended(self) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""


def refuse_without_cap(plan: PlanSummary) -> float | None:
    """Refuse a plan whose price nobody has approved.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"nobody has approved the price of plan {plan.plan}: give budget.max_usd, or "
        "RunOptions.approve"
    )


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of one call of `run`.

    Attributes:
        mode: ``run`` waits to the end; ``submit`` commits if need be, submits what the quotas
            allow and returns; ``advance`` takes what is committed one round further and returns.
        approve: called with a plan before it is committed; returns the cap in dollars (None for
            no cap), or raises where the price is not accepted.
        beam_arguments: Beam's own options.
        key_rotated: the API key is another one of the same project.
        accept_repay: buy answers again that cannot be used.
        assume_lost: send again what may have been sent too long ago to be found.
        expect_plan: id of the only plan that may be sent; empty for any.
        alternatives: commands to name where this one should not wait.
        interrupt: once it is set, lanes of this process leave, and the call raises
            `KeyboardInterrupt`.
    """

    mode: Mode = "run"
    approve: Callable[[PlanSummary], float | None] = refuse_without_cap
    beam_arguments: tuple[str, ...] = ()
    key_rotated: bool = False
    accept_repay: bool = False
    assume_lost: bool = False
    expect_plan: str = ""
    alternatives: tuple[str, ...] = ()
    interrupt: Interrupt = field(default_factory=Interrupt)

    @property
    def one_round(self) -> bool:
        """Tell whether lanes leave what must wait."""
        return self.mode != "run"
