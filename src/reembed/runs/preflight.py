"""Preflight checks of a run: the engine's options, and how long workers would wait.

Beam is imported where it is asked: most of a second, and settled runs need none of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from reembed.config.schema import Config
from reembed.core.plans import PlanSummary
from reembed.core.records import Commit
from reembed.errors import UsageError
from reembed.ledger.run_dir import RunDir
from reembed.machine.quotas import Quotas, rest_of, why_not_wait
from reembed.providers.open import find_provider
from reembed.runs.options import RunOptions
from reembed.runs.report import settled_shards


def check_engine(config: Config, beam_arguments: Sequence[str]) -> None:
    """Refuse options of an engine that can only fail on a worker.

    Raises:
        UsageError: with what to give.
    """
    if not beam_arguments:
        return  # the engine of this process
    from reembed.beam.dataflow import check_dataflow
    from reembed.beam.engine import beam_options

    check_dataflow(config, beam_options(beam_arguments))


def check_wait(
    config: Config,
    options: RunOptions,
    run_dir: RunDir,
    plan: PlanSummary,
    commit: Commit | None,
) -> None:
    """Refuse to let paid workers wait for longer than the configuration allows.

    Raises:
        UsageError: with the hours and the commands that do not wait.
    """
    if not options.beam_arguments:
        return
    from reembed.beam.dataflow import is_dataflow
    from reembed.beam.engine import beam_options

    if options.one_round or not is_dataflow(beam_options(options.beam_arguments)):
        return
    totals = plan.plan_totals()
    if commit is not None:
        totals = rest_of(totals, settled_shards(run_dir, commit))
    quotas = Quotas.of(config, find_provider(config.service).capabilities)
    why = why_not_wait(quotas, totals, config.batch.max_wait_hours)
    if why:
        commands = " and then, until it exits 0, ".join(
            f"`{each}`" for each in options.alternatives
        )
        raise UsageError(
            f"{why}, and Dataflow's workers are paid while they wait; instead: "
            f"{commands or 'submit, then advance'}; or raise batch.max_wait_hours"
        )
