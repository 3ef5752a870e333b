"""Run over inputs that a caller's own pipeline holds: name its plan, commit it, end it.

Each function is called on a worker, and may be called again: engines repeat bundles.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reembed.beam.run_plan import KeyChecks
from reembed.config.frozen import frozen_view
from reembed.config.load import config_for_workers, config_from_mapping, read_mapping
from reembed.config.schema import Config
from reembed.core.input_summary import InputSummary
from reembed.core.plans import PlanSummary, plan_id
from reembed.core.price import cap_nano, format_usd, price
from reembed.driver.session import Session, service_key
from reembed.errors import (
    ComeAgainError,
    ConfigError,
    ObjectNotFoundError,
    RunFailedError,
    UsageError,
)
from reembed.formats.policy import ChunkPolicy
from reembed.ledger.commits import check_plan, check_resumable, commit_plan
from reembed.ledger.run_dir import CommitState, RunDir, open_run_dir
from reembed.machine.quotas import Quotas, why_not_wait
from reembed.providers.open import find_provider
from reembed.runs.loading import settle_service
from reembed.runs.plan import PlanTask, complete_plan
from reembed.runs.run import end_run, reach_service

logger = logging.getLogger(__name__)

# A configuration has a source of some kind; this one is never opened.
_NO_SOURCE = {"manifest": ["pipeline-input"]}
_OF_SOURCE = ("https", "max_https_mb")


@dataclass(frozen=True, slots=True)
class EmbedTask:
    """Settings of a run over a pipeline's inputs, as they travel to workers; no API key.

    `base` is the folder that relative URIs start from. With `waits_are_paid`, workers are paid
    while they wait for remote jobs. With `key_rotated`, another API key of the same project is
    meant.
    """

    config: Config
    base: str
    waits_are_paid: bool = False
    key_rotated: bool = False

    @property
    def run_dir(self) -> RunDir:
        """Run directory, opened in this process."""
        return open_run_dir(self.config.run_dir)


def load_embed_config(
    config: str | os.PathLike[str] | Mapping[str, Any],
    run_dir: str | None = None,
    max_usd: float | None = None,
) -> tuple[Config, str]:
    """Check the configuration of a run whose inputs come from a pipeline.

    Args:
        config: YAML file, or its content; without inputs below `source`.
        run_dir: stands above the configuration's.
        max_usd: stands above the configuration's `budget.max_usd`.

    Returns:
        The configuration, and the folder that relative places start from.

    Raises:
        ConfigError: a key is wrong or missing.
    """
    if isinstance(config, Mapping):
        data, base = dict(config), Path.cwd()
    else:
        path = Path(config)
        data, base = dict(read_mapping(path)), Path(os.path.abspath(path)).parent
    source = _section(data, "source")
    for name in source:
        if name not in _OF_SOURCE:
            remedy = "leave it out: the inputs are the elements of the pipeline"
            raise ConfigError(f"source.{name}", str(source[name]), remedy)
    data["source"] = {**source, **_NO_SOURCE}
    if max_usd is not None:
        data["budget"] = {**_section(data, "budget"), "max_usd": max_usd}
    if not (run_dir or data.get("run_dir")):
        remedy = "give a folder or gs://bucket/prefix of its own, where all workers can write"
        raise ConfigError("run_dir", "missing", remedy)
    loaded = settle_service(config_from_mapping(data, base, (), run_dir))
    _check_sections(loaded.config)
    return loaded.config, str(loaded.base)


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = data.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(name, str(section)[:80], "give keys with values, or leave it out")
    return section


def _check_sections(config: Config) -> None:
    if config.budget.max_usd is None:
        remedy = "give the most that the run may cost: nobody can be asked inside a pipeline"
        raise ConfigError("budget.max_usd", "missing", remedy)
    kind = config.destination.kind
    if kind != "parquet":
        remedy = "leave it out: the pipeline gets the vectors, and can write them there"
        raise ConfigError(f"destination.{kind}", "given", remedy)


@dataclass(frozen=True, slots=True)
class NamedPlan:
    """Plan of some inputs; `complete` where an earlier call has written it whole."""

    plan: str
    summary: InputSummary
    complete: bool


def name_plan(task: EmbedTask, summary: InputSummary) -> NamedPlan:
    """Name the plan of a pipeline's inputs: the same inputs and settings have the same name.

    Raises:
        ConfigError: the run directory holds a run with other settings.
        UsageError: the run directory holds a run over other inputs.
    """
    run_dir, inputs = task.run_dir, (summary.digest.encode(), str(summary.items).encode())
    versions = ChunkPolicy.of(task.config).table().versions()
    plan = plan_id(frozen_view(task.config), versions, (b"pipeline", *inputs))
    newest = run_dir.newest_commit()
    if newest is not None and newest.commit.plan != plan:
        key = service_key(task.config)
        check_resumable(newest.commit, task.config, key, task.key_rotated)
        raise UsageError(
            f"{run_dir.path} belongs to run {newest.commit.run} over {newest.commit.items:,} "
            f"inputs, and these {summary.items:,} are not the same; give a new run_dir to each "
            "set of inputs (`reembed run` over files or a table embeds only what changed)"
        )
    return NamedPlan(plan, summary, _is_complete(run_dir, plan))


def _is_complete(run_dir: RunDir, plan: str) -> bool:
    try:
        run_dir.read_plan(plan)
    except ObjectNotFoundError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class BegunRun:
    """Committed run; `over` where an earlier call has settled and published it."""

    session: Session
    over: bool


def begin_run(task: EmbedTask, named: NamedPlan) -> BegunRun:
    """Complete the plan and commit it, or adopt the commit of the same plan.

    Raises:
        UsageError: the plan may cost more than the cap; the service refuses the key; workers
            would be paid for waiting too long.
        RunFailedError: items were lost, or the service does not answer.
    """
    config, run_dir = task.config, task.run_dir
    wanted = KeyChecks(keys=False, removed=False)  # packing a partition checks its keys
    plan = complete_plan(PlanTask(config, named.plan, named.summary.items, wanted))
    key, newest = service_key(config), run_dir.newest_commit()
    if newest is None:
        _check_price(config, plan)
        _check_wait(task, plan)
        reach_service(config, key)
        newest = _commit(run_dir, config, plan, key)
    commit = newest.commit
    check_resumable(commit, config, key, task.key_rotated)
    check_plan(run_dir, commit)
    over = newest.settled and run_dir.is_published(newest)
    if not over:
        # Notes of an earlier call would be taken for those of this one's lanes.
        run_dir.delete_lane_notes(commit.number)
    session = Session(
        config_for_workers(config, commit.max_usd),
        commit.run,
        commit.plan,
        commit.number,
        # Always: this bundle may have run before, and its lanes may have created jobs.
        resumed=True,
        generation=newest.generation,
    )
    return BegunRun(session, over)


def _commit(run_dir: RunDir, config: Config, plan: PlanSummary, key: str) -> CommitState:
    try:
        return CommitState(commit_plan(run_dir, config, plan, key), settled=False)
    except RunFailedError:
        # The same bundle, run twice at once, may have committed it meanwhile.
        newest = run_dir.newest_commit()
        if newest is None or newest.commit.plan != plan.plan:
            raise
        return newest


def _check_price(config: Config, plan: PlanSummary) -> None:
    allowed = cap_nano(config.budget.max_usd) or 0
    costs = price(plan.plan_totals().tokens, config.model.spec()).batch_usd_nano
    if costs > allowed:
        raise UsageError(
            f"these {plan.items:,} inputs may cost up to {format_usd(costs)}, and budget.max_usd "
            f"is {format_usd(allowed)}; nothing was sent: raise it, or embed fewer"
        )


def _check_wait(task: EmbedTask, plan: PlanSummary) -> None:
    if not task.waits_are_paid:
        return
    config = task.config
    quotas, hours = (
        Quotas.of(config, find_provider(config.service).capabilities),
        config.batch.max_wait_hours,
    )
    if why := why_not_wait(quotas, plan.plan_totals(), hours):
        raise UsageError(
            f"{why}, and Dataflow's workers are paid while they wait; use `reembed submit` and "
            "`reembed advance` over files or a table, or raise batch.max_wait_hours"
        )


def finish_run(session: Session) -> None:
    """Count, record and publish a run whose lanes have ended.

    Raises:
        RunFailedError: it has not ended, with the reason, or its counts do not close.
    """
    try:
        end_run(session, service_key(session.config), logger.info, time.monotonic())
    except ComeAgainError as err:
        # Vectors of a part of the inputs must not pass for those of all.
        message = str(err).replace("the same command goes on", "the same pipeline goes on")
        raise RunFailedError(f"run {session.run} has not ended: {message}") from err


def check_keys(keys: Sequence[str]) -> None:
    """Refuse keys of one partition that came twice.

    Raises:
        UsageError: with the first of them.
    """
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise UsageError(
                f"two inputs have the key {key!r}; give each input a key of its own, since "
                "vectors are found by it"
            )
        seen.add(key)
