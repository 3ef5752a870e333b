"""`reembed cancel` and `reembed redrive`: stop a run; send its rejects again."""

from __future__ import annotations

from collections.abc import Sequence

from reembed.cli.run import ask, run_command
from reembed.cli.screen import console, print_json
from reembed.core.price import format_usd
from reembed.driver.session import open_service, service_key
from reembed.errors import RunFailedError, ServiceError
from reembed.ledger.commits import check_resumable
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.cancel import cancel_jobs, write_stop
from reembed.runs.loading import load_service_config
from reembed.runs.options import RunOptions
from reembed.runs.redrive import plan_redrive, write_redrive


def cancel_command(
    path: str, overrides: Sequence[str], run_dir: str | None, lift: bool, as_json: bool
) -> int:
    """Write the stop, cancel what runs, and take what has finished; or lift the stop."""
    loaded = load_service_config(path, overrides, run_dir)
    folder = open_run_dir(loaded.config.run_dir)
    commit = write_stop(folder, lift)
    if lift:
        if as_json:
            print_json({"schema": 1, "run": commit.run, "stopped": False})
        else:
            console().print("The stop is lifted; `reembed run` or `reembed advance` goes on.")
        return 0
    with open_service(loaded.config) as service:
        try:
            done = cancel_jobs(folder, commit, service)
        except ServiceError as err:
            raise RunFailedError(
                f"the stop is on record, and nothing more is bought; but the jobs that run could "
                f"not be asked to end ({err}): call cancel again"
            ) from err
    if not as_json:
        console().print(
            f"Stopped: {done.asked:,} jobs are asked to end, {done.ended:,} had ended. What was "
            "never sent becomes a reject (`reembed redrive` would send it)."
        )
    return run_command(path, overrides, run_dir, RunOptions(mode="advance"), as_json)


def redrive_command(
    path: str,
    overrides: Sequence[str],
    run_dir: str | None,
    reasons: Sequence[str],
    beam: Sequence[str],
    as_json: bool,
) -> int:
    """Send rejects of a settled run again, after their price was accepted."""
    loaded = load_service_config(path, overrides, run_dir)
    config = loaded.config
    folder = open_run_dir(config.run_dir)
    commit, generation, found = plan_redrive(folder, config, reasons)
    check_resumable(commit, config, service_key(config), key_rotated=False)
    chunks = sum(resend.redrive.chunks for resend in found)
    cost = format_usd(sum(resend.redrive.sent.need.usd_nano for resend in found))
    words = f"{chunks:,} rejects in {len(found):,} shards are sent again, for up to {cost}"
    if config.budget.max_usd is None and commit.max_usd is None:
        ask(words, "Send?", "give --max-usd (over all of this run)", as_json)
    elif not as_json:
        console().print(f"{words}.")
    write_redrive(folder, commit, generation, found)
    options = RunOptions(beam_arguments=tuple(beam))
    return run_command(path, overrides, run_dir, options, as_json)
