"""`reembed plan`: print what a run would do, cost and take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from reembed.cli.logs import logs_to_file
from reembed.cli.screen import Screen, console, print_json
from reembed.config.schema import Config
from reembed.core.plans import PlanSummary
from reembed.core.price import Price, format_cap, format_usd, price
from reembed.ledger.run_dir import open_run_dir
from reembed.machine.quotas import Days, Quotas, days_table
from reembed.providers.open import find_provider
from reembed.runs.loading import load_service_config


def plan_command(
    path: str, overrides: Sequence[str], run_dir: str | None, beam: Sequence[str], as_json: bool
) -> int:
    """Plan, and print the plan."""
    loaded = load_service_config(path, overrides, run_dir)
    from reembed.runs.plan import make_plan

    with logs_to_file(loaded.config.run_dir), Screen(as_json) as screen:
        screen.planning(open_run_dir(loaded.config.run_dir))
        summary = make_plan(loaded, beam)
        screen.ended()
    if as_json:
        print_json(plan_as_json(summary, loaded.config))
    else:
        show_plan(summary, loaded.config, console())
    return 0


def plan_as_json(plan: PlanSummary, config: Config) -> dict[str, Any]:
    """Make one JSON object of a plan."""
    totals = plan.plan_totals()
    costs = price(totals.tokens, config.model.spec())
    return {
        "schema": 1,
        "name": config.name,
        "plan": plan.plan,
        "run_dir": config.run_dir,
        **plan.totals,
        "usd_online": float(costs.online_usd),
        "usd_batch": float(costs.batch_usd),
        "max_usd": format_cap(costs.batch_usd_nano),
        "usd_saved_by_sharing": float(price(totals.shared_tokens, config.model.spec()).batch_usd),
        "prices_as_of": costs.as_of,
        "days": [
            {
                "turnaround_hours": days.turnaround_hours,
                "enqueued_tokens": days.enqueued_tokens,
                "concurrent_jobs": days.concurrent_jobs,
                "file_storage": days.file_storage,
                "binds": days.binds,
            }
            for days in days_table(_quotas(config), totals)
        ],
    }


def show_plan(plan: PlanSummary, config: Config, out: Console) -> None:
    """Print a plan for people."""
    totals = plan.plan_totals()
    costs = price(totals.tokens, config.model.spec())
    out.print(f"Plan {plan.plan} of {config.name} in {config.run_dir}", soft_wrap=True)
    model = config.model
    out.print(f"  {model.name}, {model.dimensions} dimensions, task {model.task}")
    out.print(
        f"  {totals.items:,} items → {totals.chunks:,} chunks: {totals.requests:,} requests, "
        f"{totals.rejects:,} rejects already"
    )
    out.print(
        f"  {totals.jobs:,} jobs in {totals.shards:,} shards, {totals.canaries:,} canaries, "
        f"{totals.input_bytes / 1e6:,.1f} MB to send, {totals.result_bytes / 1e6:,.1f} MB of "
        "results predicted"
    )
    saved = price(totals.shared_tokens, config.model.spec()).batch_usd_nano
    out.print(
        f"  {totals.shared:,} chunks share a request, {totals.copies:,} take a vector that the "
        f"destination holds under another key: saves {format_usd(saved)}"
    )
    if totals.skipped:
        out.print(f"  {totals.skipped:,} chunks are there already and are left as they are")
    if totals.removed:
        out.print(f"  {totals.removed:,} keys are gone from the source: their rows are deleted")
    for note, count in sorted(totals.notes.items()):
        out.print(f"  note: {_note(note, count)}")
    out.print(_price_table(costs))
    out.print(_days_table(days_table(_quotas(config), totals)))


def _quotas(config: Config) -> Quotas:
    return Quotas.of(config, find_provider(config.service).capabilities)


def _note(note: str, count: int) -> str:
    if note == "video_with_sound":
        return (
            f"{count:,} films have sound, which the model does not hear; "
            "chunking.video.soundtrack: separate embeds it beside the pictures"
        )
    return f"{note.replace('_', ' ')}: {count:,}"


def _price_table(costs: Price) -> Table:
    table = Table(title=f"Price, by the list of {costs.as_of}", title_justify="left")
    table.add_column("modality")
    for head in ("tokens, at most", "online", "batch"):
        table.add_column(head, justify="right")
    for part in costs.parts:
        online, batch = format_usd(part.online_usd_nano), format_usd(part.batch_usd_nano)
        table.add_row(part.modality, f"{part.tokens:,}", online, batch)
    table.add_section()
    total = f"{costs.tokens:,}", format_usd(costs.online_usd_nano), format_usd(costs.batch_usd_nano)
    table.add_row("all", *total, style="bold")
    return table


def _days_table(rows: Sequence[Days]) -> Table:
    table = Table(title="Days under each quota, by turnaround of a job", title_justify="left")
    heads = ("turnaround", "enqueued tokens", "concurrent jobs", "file storage")
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("binds")
    for row in rows:
        storage = "-" if row.file_storage is None else f"{row.file_storage:,.2f}"
        table.add_row(
            f"{row.turnaround_hours:g} h",
            f"{row.enqueued_tokens:,.2f}",
            f"{row.concurrent_jobs:,.2f}",
            storage,
            row.binds,
        )
    return table
