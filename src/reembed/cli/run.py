"""`reembed run`: approve the price, run, and say what came out."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

import typer
from rich.console import Console

from reembed.cli.logs import logs_to_file
from reembed.cli.plan import show_plan
from reembed.cli.screen import Screen, console, print_json
from reembed.config.load import ResolvedConfig
from reembed.core.plans import PlanSummary
from reembed.core.price import format_cap, format_usd, price
from reembed.driver.interrupt import Interrupt
from reembed.errors import ReembedError, UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.loading import load_service_config
from reembed.runs.notified import run_with_notifications
from reembed.runs.options import RunOptions
from reembed.runs.repay import price_of_repay

_INTERRUPTED = 130
# Seconds that an engine has to end after Ctrl-C.
_PATIENCE = 15.0


def run_command(
    path: str,
    overrides: Sequence[str],
    run_dir: str | None,
    options: RunOptions,
    as_json: bool,
) -> int:
    """Run a configuration to its end, or one round of it."""
    loaded = load_service_config(path, overrides, run_dir)

    def command(name: str) -> str:
        return _same_command([name, path], overrides, run_dir, options.beam_arguments)

    again = command("advance" if options.mode == "submit" else options.mode)
    options = replace(
        options,
        approve=_approval(loaded, as_json, options.interrupt),
        alternatives=(command("submit"), command("advance")),
    )
    with logs_to_file(loaded.config.run_dir, loaded.config.notify), Screen(as_json) as screen:
        _on_interrupt(options.interrupt, screen, again)
        if options.accept_repay:
            _show_repay(loaded, as_json)
        try:
            report = run_with_notifications(loaded, options, screen)
        except ReembedError as err:
            if as_json:
                print_json({**open_run_dir(loaded.config.run_dir).last_report(), "error": str(err)})
            raise
        except KeyboardInterrupt:
            screen.ended()
            screen.say(_farewell(again))
            return _INTERRUPTED
    if as_json:
        print_json(report)
    else:
        show_report(report, console())
    return 0


def _farewell(again: str) -> str:
    return (
        "Interrupted. Jobs that were created are paid and go on at the service; "
        f"`{again}` collects them and goes on."
    )


def _same_command(
    call: Sequence[str], overrides: Sequence[str], run_dir: str | None, beam: Sequence[str]
) -> str:
    """Command that goes on with this very run: in another folder it would pay again."""
    words = ["reembed", *call]
    if run_dir is not None:
        words += ["--run-dir", run_dir]
    for override in overrides:
        words += ["--set", override]
    return shlex.join([*words, *(["--", *beam] if beam else [])])


def _show_repay(loaded: ResolvedConfig, quiet: bool) -> None:
    """Show the price of repurchasing unusable answers before it happens; the cap still holds.

    Refused before anything is on record: what is on record is no longer in question.
    """
    costs = price_of_repay(open_run_dir(loaded.config.run_dir), loaded.config)
    if not costs.attempts:
        raise UsageError("no answer is in question; run again without --accept-repay")
    words = (
        f"{costs.attempts:,} answers cannot be used; buying them again costs up to "
        f"{format_usd(costs.usd_nano)}, beside {format_usd(costs.reserved)} reserved or spent"
    )
    enough = f"--max-usd {format_cap(costs.needed)} (over all of this run) allows it"
    if costs.cap is None:
        ask(words, "Buy them again?", enough, quiet)
    elif costs.cap < costs.needed:
        raise UsageError(f"{words}, and the cap is {format_usd(costs.cap)}: {enough}")
    elif not quiet:
        console().print(f"{words}.")


def ask(words: str, question: str, remedy: str, quiet: bool) -> None:
    """Ask on a terminal whether a price is accepted.

    Raises:
        UsageError: it is not, or nobody can be asked.
    """
    if quiet or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"{words}, and no cap is set: {remedy}")
    interrupted_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        accepted = typer.confirm(f"{words}. {question}")
    finally:
        signal.signal(signal.SIGINT, interrupted_before)
    if not accepted:
        raise UsageError("nothing was sent")


def _on_interrupt(interrupt: Interrupt, screen: Screen, again: str) -> None:
    """First Ctrl-C: take back what was not sent, leave. Second: leave at once.

    Engines are known to wait for ever for worker processes that the same Ctrl-C has ended.
    """

    def give_up() -> None:
        screen.say(_farewell(again))
        os._exit(_INTERRUPTED)

    def leave(number: int, frame: FrameType | None) -> None:
        if interrupt.is_set():
            os._exit(_INTERRUPTED)
        interrupt.set()
        screen.say("Stopping: taking back what was not sent ... (again: at once)")
        patience = threading.Timer(_PATIENCE, give_up)
        patience.daemon = True
        patience.start()

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


def _approval(
    loaded: ResolvedConfig, quiet: bool, interrupt: Interrupt
) -> Callable[[PlanSummary], float | None]:
    """Approve the price by the cap, or by asking on a terminal; refuse it elsewhere."""

    def approve(plan: PlanSummary) -> float | None:
        if interrupt.is_set():
            raise KeyboardInterrupt
        config = loaded.config
        costs = price(plan.plan_totals().tokens, config.model.spec())
        if not quiet:
            show_plan(plan, config, console())
        if config.budget.max_usd is not None:
            return config.budget.max_usd
        remedy = "give --max-usd, or budget.max_usd in the configuration"
        words = f"This may cost up to {format_usd(costs.batch_usd_nano)}"
        ask(words, "Submit?", remedy, quiet)
        return None

    return approve


def show_report(report: dict[str, Any], out: Console) -> None:
    """Print what came out, for people."""
    if report.get("already"):
        out.print("This run is settled already; nothing was sent.")
    out.print(
        f"planned {report['planned']:,} = rows {report['rows']:,} + rejects "
        f"{report['rejects']:,} + skipped {report['skipped']:,}"
    )
    for reason, count in report["reject_reasons"].items():
        out.print(f"  rejected, {reason}: {count:,}")
    tokens = sum(report["tokens"].values())
    out.print(
        f"{report['jobs']:,} jobs, {tokens:,} tokens, ${report['usd']:,.6f} at the batch price of "
        f"{report['prices_as_of']} (online: ${report['usd_online']:,.6f} at most), "
        f"{report['seconds']:,.1f} s"
    )
    for job in report.get("duplicate_jobs", ()):
        out.print(
            f"paid twice, perhaps: {job['job']} ({job['state']}) bears the name of "
            f"shard {job['shard']}, attempt {job['attempt']}, beside {job['kept'] or 'none'}",
            style="bold",
        )
    for job in report.get("uncollected_jobs", ()):
        out.print(
            f"ended well too late: {job['job']} (shard {job['shard']}, attempt "
            f"{job['attempt']}) had read {job['recorded']}; its requests were sent again or are "
            "rejects, and its answer is not used",
            style="bold",
        )
    show_published(report.get("published") or {}, out)
    out.print(f"vectors: {report['vectors']}", soft_wrap=True)
    out.print(f"rejects: {report['rejects_at']}", soft_wrap=True)


def show_published(published: dict[str, Any], out: Console) -> None:
    """Print what the destination took over, where it is a table."""
    details = published.get("details") or {}
    if "table" not in details:
        return
    made = "made" if details["made"] else "brought up to date"
    out.print(
        f"table {details['table']} {made}: {published['inserted']:,} rows inserted, "
        f"{published['replaced']:,} replaced, {published['deleted']:,} deleted",
        markup=False,
    )
    if merge := details.get("merge"):
        out.print(
            f"MERGE {merge['job']}: estimated at {merge['estimated_bytes'] / 1e6:,.1f} MB, "
            f"${merge['estimated_usd']:,.4f} on demand by the price of {merge['prices_as_of']}; "
            f"read {merge['processed_bytes'] / 1e6:,.1f} MB",
            markup=False,
        )
    if index := details.get("index"):
        words = "was sent" if index["created"] else "is made by"
        out.print(f"The vector index {words}:\n{index['statement']}", markup=False)
        if index["note"]:
            out.print(f"It was not made: {index['note']}", markup=False)
