"""Command line: what each command takes."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from reembed.cli.added import WithAddedCommands
from reembed.cli.console import LogFormat
from reembed.cli.exits import exit_with
from reembed.cli.options import (
    AcceptRepayOption,
    AssumeLostOption,
    BeamArguments,
    ConfigArgument,
    ExpectPlanOption,
    JsonOption,
    KeyRotatedOption,
    LogFormatOption,
    MaxUsdOption,
    RunDirOption,
    SampleOption,
    SetOption,
    WhereOption,
)
from reembed.version import __version__

app = typer.Typer(
    name="reembed",
    help="Re-embed a corpus through asynchronous batch embedding jobs, at half the online price.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=WithAddedCommands,
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"reembed {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Re-embed a corpus through asynchronous batch embedding jobs, at half the online price."""


@app.command()
def plan(
    config: ConfigArgument,
    beam: BeamArguments = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    sample: SampleOption = None,
    where: WhereOption = None,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would do, cost and take; pays nothing."""
    from reembed.cli.plan import plan_command

    overrides = _overrides(set_, sample=sample, where=where)
    exit_with(lambda: plan_command(config, overrides, run_dir, beam or [], as_json), log)


@app.command()
def run(
    config: ConfigArgument,
    beam: BeamArguments = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    sample: SampleOption = None,
    where: WhereOption = None,
    max_usd: MaxUsdOption = None,
    expect_plan: ExpectPlanOption = "",
    key_rotated: KeyRotatedOption = False,
    accept_repay: AcceptRepayOption = False,
    assume_lost: AssumeLostOption = False,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Plan, submit, wait, settle, write; the same command resumes."""
    from reembed.cli.run import run_command
    from reembed.runs.options import RunOptions

    overrides = _overrides(set_, sample=sample, where=where, max_usd=max_usd)
    options = RunOptions(
        mode="run",
        beam_arguments=tuple(beam or ()),
        key_rotated=key_rotated,
        accept_repay=accept_repay,
        assume_lost=assume_lost,
        expect_plan=expect_plan,
    )
    exit_with(lambda: run_command(config, overrides, run_dir, options, as_json), log)


@app.command()
def submit(
    config: ConfigArgument,
    beam: BeamArguments = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    sample: SampleOption = None,
    where: WhereOption = None,
    max_usd: MaxUsdOption = None,
    expect_plan: ExpectPlanOption = "",
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Plan, submit what the quotas allow, and leave; `advance` goes on."""
    from reembed.cli.run import run_command
    from reembed.runs.options import RunOptions

    overrides = _overrides(set_, sample=sample, where=where, max_usd=max_usd)
    options = RunOptions(
        mode="submit",
        beam_arguments=tuple(beam or ()),
        expect_plan=expect_plan,
    )
    exit_with(lambda: run_command(config, overrides, run_dir, options, as_json), log)


@app.command()
def advance(
    config: ConfigArgument,
    beam: BeamArguments = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    max_usd: MaxUsdOption = None,
    key_rotated: KeyRotatedOption = False,
    accept_repay: AcceptRepayOption = False,
    assume_lost: AssumeLostOption = False,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Take everything unsettled one round on, and leave: 0 settled, 75 come again, 1 failed."""
    from reembed.cli.run import run_command
    from reembed.runs.options import RunOptions

    overrides = _overrides(set_, max_usd=max_usd)
    options = RunOptions(
        mode="advance",
        beam_arguments=tuple(beam or ()),
        key_rotated=key_rotated,
        accept_repay=accept_repay,
        assume_lost=assume_lost,
    )
    exit_with(lambda: run_command(config, overrides, run_dir, options, as_json), log)


@app.command()
def cancel(
    config: ConfigArgument,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    lift: Annotated[bool, typer.Option("--lift", help="Take the stop back.")] = False,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Stop a run: buy no more, end what runs remotely, keep what has finished."""
    from reembed.cli.control import cancel_command

    exit_with(lambda: cancel_command(config, _overrides(set_), run_dir, lift, as_json), log)


@app.command()
def redrive(
    config: ConfigArgument,
    beam: BeamArguments = None,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Only rejects with this reason code.")
    ] = None,
    max_usd: MaxUsdOption = None,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Send the rejects of a settled run again, and only them."""
    from reembed.cli.control import redrive_command

    overrides = _overrides(set_, max_usd=max_usd)
    exit_with(
        lambda: redrive_command(config, overrides, run_dir, reason or [], beam or [], as_json),
        log,
    )


@app.command()
def status(
    config: ConfigArgument,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every few seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where a run stands, from its ledger."""
    from reembed.cli.status import status_command

    exit_with(lambda: status_command(config, _overrides(set_), run_dir, watch, as_json))


@app.command()
def trace(
    config: ConfigArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key of an input.")],
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the way of one key: source, chunk, shard, attempts, row or reject."""
    from reembed.cli.trace import trace_command

    exit_with(lambda: trace_command(config, key, _overrides(set_), run_dir, as_json))


@app.command()
def cutover(
    config: ConfigArgument,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Point destination.bigquery.view at the table of a settled run."""
    from reembed.cli.cutover import cutover_command

    exit_with(lambda: cutover_command(config, _overrides(set_), run_dir, False, as_json))


@app.command()
def rollback(
    config: ConfigArgument,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let destination.bigquery.view say again what it said before `cutover`."""
    from reembed.cli.cutover import cutover_command

    exit_with(lambda: cutover_command(config, _overrides(set_), run_dir, True, as_json))


@app.command()
def doctor(
    config: ConfigArgument,
    set_: SetOption = None,
    run_dir: RunDirOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Send two tiny jobs, for a fraction of a cent.")
    ] = False,
    log: LogFormatOption = LogFormat.TEXT,
    as_json: JsonOption = False,
) -> None:
    """Check that everything is in place; with --live, that the service behaves as assumed."""
    from reembed.cli.doctor import doctor_command

    exit_with(lambda: doctor_command(config, _overrides(set_), run_dir, live, as_json), log)


@app.command()
def emulator(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8901,
    state: Annotated[
        Path | None, typer.Option("--state", help="Folder that outlives a restart.")
    ] = None,
    faults: Annotated[
        Path | None, typer.Option("--faults", help="YAML or JSON file of faults to inject.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as running_seconds=5."),
    ] = None,
) -> None:
    """Serve the batch embedding service on this machine; lexical vectors, no model is used."""
    from reembed.cli.emulator import emulator_command

    exit_with(lambda: emulator_command(host, port, state, faults, set_ or []))


def _overrides(
    given: list[str] | None,
    sample: int | None = None,
    max_usd: float | None = None,
    where: str | None = None,
) -> list[str]:
    overrides = list(given or [])
    if sample is not None:
        overrides.append(f"source.sample={sample}")
    if where is not None:
        overrides.append(f"source.bigquery.where={json.dumps(where)}")
    if max_usd is not None:
        overrides.append(f"budget.max_usd={max_usd}")
    return overrides


def main(arguments: list[str] | None = None) -> Any:
    """Console script."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    app(args=arguments)
