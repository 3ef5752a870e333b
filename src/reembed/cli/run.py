"""`reembed run`: approve the price, run, and say what came out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from rich.console import Console

from reembed.cli.loading import load_service_config
from reembed.cli.logs import logs_to_file
from reembed.cli.plan import show_plan
from reembed.cli.show import Screen, console, print_json
from reembed.config.load import LoadedConfig
from reembed.core.plans import PlanSummary
from reembed.core.pricing import format_usd, price
from reembed.driver.session import interrupted
from reembed.errors import ReembedError, UsageError
from reembed.pipeline.results import last_report
from reembed.pipeline.run import Mode, RunCall, run

_INTERRUPTED = 130


def run_command(
    path: Path,
    overrides: Sequence[str],
    run_dir: str | None,
    beam: Sequence[str],
    key_rotated: bool,
    as_json: bool,
    mode: Mode = "run",
) -> int:
    """Run a configuration to its end, or one round of it."""
    loaded = load_service_config(path, overrides, run_dir)
    again = f"reembed {'advance' if mode == 'submit' else mode} {path}"
    with logs_to_file(loaded.config.run_dir), Screen(as_json) as screen:
        _on_interrupt(screen, again)
        call = RunCall(loaded, screen, _approval(loaded, as_json), beam, key_rotated, mode)
        try:
            report = run(call)
        except ReembedError as err:
            if as_json:
                print_json({**last_report(loaded.config.run_dir), "error": str(err)})
            raise
        except KeyboardInterrupt:
            screen.ended()
            screen.say(
                "Interrupted. Jobs that were created are paid and go on at the service; "
                f"`{again}` collects them and goes on."
            )
            return _INTERRUPTED
    if as_json:
        print_json(report)
    else:
        show_report(report, console())
    return 0


def _on_interrupt(screen: Screen, again: str) -> None:
    """First Ctrl-C: take back what was not sent, leave. Second: leave at once."""

    def leave(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            os._exit(_INTERRUPTED)
        interrupted.set()
        screen.say("Stopping: taking back what was not sent ... (again: at once)")

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)


def _approval(loaded: LoadedConfig, quiet: bool) -> Callable[[PlanSummary], float | None]:
    """How the price is approved: by the cap, or by asking on a terminal, else not at all."""

    def approve(plan: PlanSummary) -> float | None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        config = loaded.config
        costs = price(plan.plan_totals().tokens, config.model.spec())
        if not quiet:
            show_plan(plan, config, console())
        if config.budget.max_usd is not None:
            return config.budget.max_usd
        words = f"This may cost up to {format_usd(costs.batch_usd_nano)}"
        if not (sys.stdin.isatty() and sys.stdout.isatty()) or quiet:
            raise UsageError(
                f"{words}, and no cap is set: give --max-usd, or budget.max_usd in the "
                "configuration"
            )
        interrupted_before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            accepted = typer.confirm(f"{words}. Submit?")
        finally:
            signal.signal(signal.SIGINT, interrupted_before)
        if not accepted:
            raise UsageError("nothing was submitted")
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
    out.print(f"vectors: {report['vectors']}", soft_wrap=True)
    out.print(f"rejects: {report['rejects_at']}", soft_wrap=True)
