"""Public functions: the verbs of the command line without its screen.

Nothing is printed, no signal is handled and no process is ended here: what happens is returned,
raised, logged to the loggers below ``reembed``, or given to a callback.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.core.plans import PlanSummary
from reembed.core.price import format_usd, price
from reembed.driver.interrupt import Interrupt
from reembed.driver.session import Session
from reembed.errors import ComeAgainError, StorageError, UsageError
from reembed.ledger.notes import sum_notes
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.runs.loading import load_from, settle_service
from reembed.runs.notified import run_with_notifications
from reembed.runs.options import RunOptions
from reembed.runs.plan import make_plan
from reembed.runs.status import RunStatus, read_status
from reembed.storage.parallel import in_parallel

__all__ = [
    "Plan",
    "Progress",
    "Report",
    "ResolvedConfig",
    "RunStatus",
    "load_config",
    "plan",
    "read",
    "run",
    "status",
]

# A program that has set up no logging would find warnings of ours on its stderr.
logging.getLogger("reembed").addHandler(logging.NullHandler())
logger = logging.getLogger(__name__)

ConfigLike = str | os.PathLike[str] | Mapping[str, Any] | ResolvedConfig
OnProgress = Callable[["Progress"], object]

_PROGRESS_SECONDS = 1.0
# What lanes of this process have after Ctrl-C, to take back what they have not sent.
_INTERRUPT_SECONDS = 10.0
_ORDER = ("source_index", "offset", "part")
# A column of lists counts the values of all its lists in 32 bits.
_MOST_VALUES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a run: what it would do and cost; nothing was sent for it.

    Attributes:
        plan: id of the plan; the same for the same source, destination and configuration.
        name: of the configuration.
        run_dir: where the plan lies.
        items: inputs that were found.
        chunks: parts of them: each becomes a vector or a reject, or is skipped.
        requests: parts that are sent; others share an answer or are in the destination already.
        rejects: parts that cannot be sent, found before anything is paid.
        skipped: parts that the destination has already.
        removed: keys of the destination that the source no longer has, and that are deleted.
        jobs: batch jobs.
        tokens: estimated tokens by modality, never too low.
        usd: the most that the batch jobs cost if none has to be repeated.
        usd_online: what the same costs without batch jobs.
        prices_as_of: date of the price list.
    """

    plan: str
    name: str
    run_dir: str
    items: int
    chunks: int
    requests: int
    rejects: int
    skipped: int
    removed: int
    jobs: int
    tokens: Mapping[str, int]
    usd: float
    usd_online: float
    prices_as_of: str


@dataclass(frozen=True, slots=True)
class Report:
    """End of a run: ``planned = rows + rejects + skipped``, counted in the written files.

    Attributes:
        run: id of the run.
        plan: id of its plan.
        state: ``settled``.
        planned: chunks of the plan.
        rows: vectors that were written.
        rejects: chunks without a vector.
        skipped: chunks that the destination had already.
        jobs: batch jobs that were created.
        tokens: tokens that were billed, by modality.
        usd: their price.
        usd_reserved: upper bound of everything spent, repeated jobs too.
        reject_reasons: number of rejects by reason.
        vectors: folder with the rows, in Parquet.
        already: the run was settled before this call, which sent nothing.
        details: everything that ``report.json`` has.
    """

    run: str
    plan: str
    state: str
    planned: int
    rows: int
    rejects: int
    skipped: int
    jobs: int
    tokens: Mapping[str, int]
    usd: float
    usd_reserved: float
    reject_reasons: Mapping[str, int]
    vectors: str
    already: bool
    details: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a call; given to `on_progress` about once a second, in a thread of its own.

    Attributes:
        stage: ``planning`` or ``embedding``.
        done: items that are planned, or chunks that have their vector or reject.
        total: chunks in all; None while planning, since the number is not known.
        shards: number of shards by state, while embedding.
        usd_reserved: upper bound of what is spent so far.
    """

    stage: Literal["planning", "embedding"]
    done: int = 0
    total: int | None = None
    shards: Mapping[str, int] = field(default_factory=dict)
    usd_reserved: float = 0.0


def load_config(
    config: ConfigLike, *, overrides: Sequence[str] = (), run_dir: str | None = None
) -> ResolvedConfig:
    """Load and check a configuration.

    Args:
        config: path of a YAML file, here or at ``gs://bucket/name``; its content as a mapping,
            whose relative places start from the current folder; or one that is loaded already,
            which is returned as it is.
        overrides: ``a.b=value`` each, values in YAML.
        run_dir: stands above the configuration's.

    Returns:
        The configuration with absolute places.

    Raises:
        ConfigError: a key is wrong.
        UsageError: the file is not there or not YAML.

    Example:
        >>> loaded = load_config("configs/demo.yaml", overrides=["batch.max_requests=500"])
        >>> loaded.config.batch.max_requests
        500
    """
    if isinstance(config, ResolvedConfig):
        if overrides or run_dir:
            raise UsageError("a loaded configuration takes no overrides; give them when loading it")
        return config
    if isinstance(config, Mapping):
        return settle_service(config_from_mapping(config, Path.cwd(), overrides, run_dir))
    return settle_service(load_from(os.fspath(config), overrides, run_dir))


def plan(
    config: ConfigLike,
    *,
    run_dir: str | None = None,
    beam_options: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> Plan:
    """Plan a run: list, read, cut, pack and price everything; nothing is sent or paid.

    Args:
        config: see `load_config`.
        run_dir: stands above the configuration's.
        beam_options: Beam's own options, for instance ``["--runner=DataflowRunner", …]``.
        on_progress: called about once a second, in a thread of its own.

    Raises:
        UsageError: the configuration, a place in it, or two inputs with one key.
        RunFailedError: the engine failed.

    Example:
        >>> plan("job.yaml").usd  # doctest: +SKIP
        0.0123
    """
    loaded = load_config(config, run_dir=run_dir)
    observer = _Observer(on_progress)
    observer.planning(open_run_dir(loaded.config.run_dir))
    try:
        summary = make_plan(loaded, beam_options)
    finally:
        observer.ended()
    return _plan_of(summary, loaded)


def run(
    config: ConfigLike,
    *,
    max_usd: float | None = None,
    expect_plan: str = "",
    run_dir: str | None = None,
    beam_options: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    key_rotated: bool = False,
    accept_repay: bool = False,
    assume_lost: bool = False,
) -> Report:
    """Bring a run to its end, from wherever it stands; wait for all of its jobs.

    The same call goes on after a crash, and buys nothing twice. Where the last run is settled, the
    next one embeds what is new or changed since.

    Args:
        config: see `load_config`.
        max_usd: most that the run may cost, over all calls; stands above `budget.max_usd`.
        expect_plan: send nothing for another plan than this one.
        run_dir: stands above the configuration's.
        beam_options: Beam's own options.
        on_progress: called about once a second, in a thread of its own.
        key_rotated: another API key of the same project is meant.
        accept_repay: buy answers again that cannot be used.
        assume_lost: send again what may have been sent too long ago to be found.

    Raises:
        UsageError: the configuration, the key, or no cap.
        ComeAgainError: something is left, for instance at the cap; the same call goes on.
        RunFailedError: the run cannot go on, or its counts do not close.

    Example:
        >>> report = run("job.yaml", max_usd=5)  # doctest: +SKIP
        >>> report.planned == report.rows + report.rejects + report.skipped  # doctest: +SKIP
        True
    """
    loaded = load_config(config, run_dir=run_dir)
    if max_usd is not None:
        loaded = loaded.with_cap(max_usd)
    observer = _Observer(on_progress)
    options = RunOptions(
        approve=lambda summary: _approve(summary, loaded),
        beam_arguments=tuple(beam_options),
        key_rotated=key_rotated,
        accept_repay=accept_repay,
        assume_lost=assume_lost,
        expect_plan=expect_plan,
    )
    with _interruptible() as interrupt:
        try:
            return _report_of(
                run_with_notifications(loaded, replace(options, interrupt=interrupt), observer)
            )
        finally:
            observer.ended()


def status(config: ConfigLike, *, run_dir: str | None = None) -> RunStatus | None:
    """Read where the newest run stands, from its records alone; None where there is none yet.

    Args:
        config: see `load_config`.
        run_dir: stands above the configuration's.

    Example:
        >>> status("job.yaml").state  # doctest: +SKIP
        'settled'
    """
    return read_status(open_run_dir(load_config(config, run_dir=run_dir).config.run_dir))


def read(
    config: ConfigLike, *, columns: Sequence[str] | None = None, run_dir: str | None = None
) -> pa.Table:
    """Read the rows of a settled run into memory, in input order.

    After increments these are the rows as they stand: rows that were replaced or whose input is
    gone are not among them. For more rows than memory holds, open the files below
    `Report.vectors` with any reader of Parquet.

    Args:
        config: see `load_config`.
        columns: only these, for instance ``["key", "embedding"]``; None: all of
            ``docs/join.md``.
        run_dir: stands above the configuration's.

    Raises:
        UsageError: nothing was run yet, or the rows are in a table.
        ComeAgainError: the newest run has not ended.

    Example:
        >>> read("job.yaml", columns=["key", "embedding"]).num_rows  # doctest: +SKIP
        42
    """
    loaded = load_config(config, run_dir=run_dir).config
    kind = loaded.destination.kind
    if kind != "parquet":
        raise UsageError(f"the rows are in the destination ({kind}); read them there")
    folder = open_run_dir(loaded.run_dir)
    newest = folder.newest_commit()
    if newest is None:
        raise UsageError(f"nothing was run in {folder.path} yet; `reembed.run` begins")
    if not newest.settled or not folder.is_published(newest):
        raise ComeAgainError(
            f"run {newest.commit.run} in {folder.path} has not ended; `reembed.run` goes on"
        )
    return _read_rows(folder, columns, loaded.model.dimensions)


def _read_rows(run_dir: RunDir, columns: Sequence[str] | None, dimensions: int) -> pa.Table:
    names = None if columns is None else list(dict.fromkeys([*columns, *_ORDER]))

    def read_part(uri: str) -> pa.Table:
        with run_dir.storage.open(uri) as stream:
            return pq.ParquetFile(stream).read(names, use_threads=False)

    parts = in_parallel(read_part, (stat.uri for stat in run_dir.parts()))
    table = pa.concat_tables(parts) if parts else _no_rows(names)
    table = _sorted(table, dimensions)
    return table if columns is None else table.select(list(columns))


def _no_rows(names: Sequence[str] | None) -> pa.Table:
    from reembed.core.schema import ROW

    empty = ROW.empty_table()
    return empty if names is None else empty.select(names)


def _sorted(table: pa.Table, dimensions: int) -> pa.Table:
    """Put rows into input order; files of one run have it already, those of several do not."""
    # Stable, so rows that are in order stay where they are.
    rows = pc.sort_indices(table, [(name, "ascending") for name in _ORDER])
    if pc.all(pc.equal(rows, pa.array(np.arange(len(rows)), pa.uint64()))).as_py():
        return table
    at = table.schema.get_field_index("embedding")
    if at >= 0 and table.num_rows * dimensions > _MOST_VALUES:
        large = table.column(at).cast(pa.large_list(pa.float32()))
        table = table.set_column(at, "embedding", large)
    return table.take(rows)


def _approve(summary: PlanSummary, loaded: ResolvedConfig) -> float:
    cap = loaded.config.budget.max_usd
    if cap is None:
        costs = price(summary.plan_totals().tokens, loaded.config.model.spec())
        raise UsageError(
            f"this may cost up to {format_usd(costs.batch_usd_nano)}, and no cap is set: give "
            "max_usd, or budget.max_usd in the configuration"
        )
    return cap


def _plan_of(summary: PlanSummary, loaded: ResolvedConfig) -> Plan:
    totals = summary.plan_totals()
    costs = price(totals.tokens, loaded.config.model.spec())
    return Plan(
        plan=summary.plan,
        name=summary.name,
        run_dir=loaded.config.run_dir,
        items=summary.items,
        chunks=totals.chunks,
        requests=totals.requests,
        rejects=totals.rejects,
        skipped=totals.skipped,
        removed=totals.removed,
        jobs=totals.jobs,
        tokens=dict(totals.tokens),
        usd=float(costs.batch_usd),
        usd_online=float(costs.online_usd),
        prices_as_of=costs.as_of,
    )


def _report_of(report: Mapping[str, Any]) -> Report:
    names = (name for name in Report.__dataclass_fields__ if name not in ("already", "details"))
    values = {name: report[name] for name in names}
    return Report(**values, already=bool(report.get("already")), details=dict(report))


@contextlib.contextmanager
def _interruptible() -> Iterator[Interrupt]:
    """At Ctrl-C, let lanes of this process take back what they have not sent."""
    interrupt = Interrupt()
    try:
        yield interrupt
    except KeyboardInterrupt:
        interrupt.set()
        interrupt.wait_for_lanes(_INTERRUPT_SECONDS)
        raise


class _Observer:
    """Observer of a run that turns its notes into `Progress`, in a thread of its own."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def planning(self, run_dir: RunDir) -> None:
        """Give the progress of planning."""
        self._begin(lambda: _planning(run_dir))

    def planned(self, plan: PlanSummary) -> None:
        """Stop: the plan stands."""
        self.ended()

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Give the progress of embedding."""
        chunks = plan.plan_totals().chunks
        self._begin(lambda: _embedding(session, chunks))

    def ended(self) -> None:
        """Stop, after the last progress was given."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._stop.clear()

    def say(self, text: str) -> None:
        """Log what costs time or money."""
        logger.info("%s", text)

    def _begin(self, look: Callable[[], Progress]) -> None:
        self.ended()
        if self._on_progress is not None:
            self._thread = threading.Thread(target=self._tell, args=(look,), daemon=True)
            self._thread.start()

    def _tell(self, look: Callable[[], Progress]) -> None:
        over = False
        while not over and self._on_progress is not None:
            over = self._stop.wait(_PROGRESS_SECONDS)
            try:
                progress = look()
            except StorageError:
                continue  # given again when it can be read
            try:
                self._on_progress(progress)
            except Exception:  # the caller's own: it must not end a run that is being paid for
                logger.exception("on_progress raised, and is not called again")
                self._on_progress = None


def _planning(run_dir: RunDir) -> Progress:
    return Progress("planning", done=sum_notes(run_dir.plan_notes())["items"])


def _embedding(session: Session, chunks: int) -> Progress:
    total = sum_notes(session.run_dir.lane_notes(session.commit))
    shards = {n.removeprefix("shards."): c for n, c in total.items() if n.startswith("shards.")}
    return Progress(
        "embedding",
        done=min(chunks, total["chunks_done"]),
        total=chunks,
        shards=dict(sorted(shards.items())),
        usd_reserved=total["usd_nano"] / 1e9,
    )
