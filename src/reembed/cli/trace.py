"""`reembed trace`: the history of one key, for people."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from rich.console import Console

from reembed.cli.screen import console, print_json
from reembed.errors import UsageError
from reembed.ledger.run_dir import open_run_dir
from reembed.machine.history import Step
from reembed.runs.loading import load_from
from reembed.runs.trace import KeyHistory, trace_key


def trace_command(
    path: str, key: str, overrides: Sequence[str], run_dir: str | None, as_json: bool
) -> int:
    """Print what became of a key in every run that sent it or rejected it."""
    loaded = load_from(path, overrides, run_dir)
    folder = open_run_dir(loaded.config.run_dir)
    found = list(trace_key(folder, key))
    if not found:
        raise UsageError(
            f"no run in {folder.path} planned the key {key!r}; keys of files are their paths "
            "from the configuration's folder, or their gs:// URIs"
        )
    if as_json:
        histories = orjson.loads(orjson.dumps([history.as_json() for history in found]))
        print_json({"key": key, "histories": histories})
        return 0
    for history in found:
        _show(history, console())
    return 0


def _show(history: KeyHistory, out: Console) -> None:
    chunk = history.chunk
    out.print(f"run {history.run} (commit {history.commit})", style="bold")
    state = f", state {chunk['generation']}" if chunk["generation"] else ""
    position = f"{chunk['source_index']}.{chunk['offset']}"
    out.print(f"  source   {chunk['source_uri']}{state}, position {position}", markup=False)
    span = ""
    if chunk["start"] is not None:
        span = f", {chunk['unit']} {chunk['start']:g} to {chunk['end']:g}"
    out.print(
        f"  chunk    part {chunk['part']} of {chunk['parts']}: {chunk['modality']} "
        f"({chunk['mime_type'] or 'unknown'}){span}, {chunk['token_count']:,} tokens at most, "
        f"by {chunk['chunker']}",
        markup=False,
    )
    request = "" if chunk["request"] is None else f", request {chunk['request']}"
    donor = f", takes the vector of {chunk['donor']!r}" if chunk["donor"] else ""
    out.print(f"  shard    {history.shard}{request}{donor}", markup=False)
    for step in history.steps:
        out.print(f"  attempt  {_words(step)}", markup=False)
    if history.row is not None:
        row = history.row
        out.print(
            f"  row      {row['dimensions']} dimensions of {row['model']}, {row['token_count']:,} "
            f"tokens, job {row['job']}, at {row['embedded_at']:%Y-%m-%d %H:%M:%S} UTC",
            markup=False,
        )
    elif history.reject is not None:
        said = history.reject
        out.print(f"  reject   {said['reason']} ({said['stage']}): {said['message']}", markup=False)
    lost = "none: a later run took its row out, or somebody did" if history.settled else "none yet"
    out.print(f"  file     {history.file or lost}", markup=False)


def _words(step: Step) -> str:
    epochs = f", epochs {', '.join(map(str, step.epochs))}" if step.epochs else ""
    void = f" ({', '.join(map(str, step.void))} void)" if step.void else ""
    job = f": {step.job}" if step.job else ": no job"
    state = f" {step.state} {step.ended}".rstrip() if step.state else " not ended"
    cause = f", {step.cause}" if step.cause else ""
    again = f"; sent again as {step.goes_on}" if step.goes_on else ""
    return f"{step.attempt}{epochs}{void}{job}{state}{cause}{again}"
