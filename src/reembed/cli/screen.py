"""Screen of a run: live bars on a terminal, plain lines elsewhere, nothing with --json."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import orjson
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reembed.cli.console import logs_are_json
from reembed.core.plans import PlanSummary
from reembed.driver.session import Session
from reembed.errors import StorageError
from reembed.ledger.notes import sum_notes
from reembed.ledger.run_dir import RunDir

_LIVE_EVERY, _LINES_EVERY = 1.0, 10.0
logger = logging.getLogger("reembed.run")


def console() -> Console:
    """Open the console that results go to."""
    return _plain(soft_wrap=not sys.stdout.isatty())


def _plain(**options: Any) -> Console:
    # Names of files and words of the service are no markup: "[/old]" would end the program.
    return Console(highlight=False, markup=False, emoji=False, **options)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


class Screen:
    """Shows the progress of a run from its notes, so that every engine shows it.

    Stages go into the log too, as events.

    Args:
        quiet: show nothing (with --json).
    """

    def __init__(self, quiet: bool) -> None:
        self._err = _plain(stderr=True)
        # With JSON lines, stderr takes nothing else.
        self._json = logs_are_json()
        self._quiet, self._live = quiet, self._err.is_terminal and not self._json
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End whatever is shown."""
        self.ended()

    def say(self, text: str) -> None:
        """Print a line about the work, not about its result."""
        self._tell("said", text)

    def _tell(self, event: str, text: str, **fields: str) -> None:
        logger.info("%s", text, extra={"event": event, **fields})
        if not self._quiet and not self._json:
            self._err.print(text, soft_wrap=True)

    def planning(self, run_dir: RunDir) -> None:
        """Show items and chunks while they are planned."""
        self._tell("planning", "Planning: listing, reading and cutting ...")
        self._begin(lambda bars: _PlanBars(run_dir, bars))

    def planned(self, plan: PlanSummary) -> None:
        """Stop showing the planning."""
        self.ended()
        totals = plan.plan_totals()
        line = f"plan {plan.plan}: {totals.chunks} chunks, {totals.jobs} jobs"
        logger.info("%s", line, extra={"event": "planned"})

    def embedding(self, session: Session, plan: PlanSummary, resumed: bool) -> None:
        """Show chunks, shards, rows and dollars while a run is embedded."""
        word = "Resuming" if resumed else "Embedding"
        line = f"{word} run {session.run}: {plan.plan_totals().shards:,} shards ..."
        self._tell("resuming" if resumed else "embedding", line, run=session.run)
        self._begin(lambda bars: _EmbedBars(session, plan, bars))

    def ended(self) -> None:
        """Stop showing."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._stop.clear()

    def _begin(self, make: Callable[[Progress], _Bars]) -> None:
        self.ended()
        if self._quiet and not self._json:
            return
        target = self._show_live if self._live else self._show_lines
        self._thread = threading.Thread(target=target, args=(make,), daemon=True)
        self._thread.start()

    def _show_live(self, make: Callable[[Progress], _Bars]) -> None:
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._err,
        )
        shown = make(bars)
        with Live(bars, console=self._err, refresh_per_second=4, transient=True):
            while not self._stop.wait(_LIVE_EVERY):
                shown.update()

    def _show_lines(self, make: Callable[[Progress], _Bars]) -> None:
        shown = make(Progress(disable=True))
        last = time.monotonic()
        shown_line = ""
        while not self._stop.wait(_LIVE_EVERY):
            if time.monotonic() - last < _LINES_EVERY:
                continue
            last, line = time.monotonic(), shown.update()
            if line and line != shown_line:
                shown_line = line
                self._tell("progress", line)


class _Bars:
    """One stage's bars: `update` reads the notes, moves the bars, and says it in a line."""

    def update(self) -> str:
        """Read, move, and return what a plain line would say."""
        try:
            return self._move(sum_notes(self._notes()))
        except StorageError:
            return ""  # shown again when it can be read

    def _notes(self) -> list[dict[str, Any]]:
        raise AssertionError("each stage reads its own notes")

    def _move(self, total: dict[str, int]) -> str:
        raise AssertionError("each stage moves its own bars")


class _PlanBars(_Bars):
    def __init__(self, run_dir: RunDir, bars: Progress) -> None:
        self._run_dir, self._bars = run_dir, bars
        self._task = bars.add_task("items", total=None, note="")

    def _notes(self) -> list[dict[str, Any]]:
        return self._run_dir.plan_notes()

    def _move(self, total: dict[str, int]) -> str:
        chunks = total.get("chunks", 0)
        self._bars.update(self._task, completed=total.get("items", 0), note=f"{chunks:,} chunks")
        return f"planned {total.get('items', 0):,} items, {chunks:,} chunks"


class _EmbedBars(_Bars):
    def __init__(self, session: Session, plan: PlanSummary, bars: Progress) -> None:
        self._run_dir, self._commit = session.run_dir, session.commit
        totals = plan.plan_totals()
        self._bars, self._shards, self._all = bars, totals.shards, totals.chunks
        self._chunk_bar = bars.add_task("chunks", total=totals.chunks, note="")
        self._shard_bar = bars.add_task("shards", total=totals.shards, note="")

    def _notes(self) -> list[dict[str, Any]]:
        return self._run_dir.lane_notes(self._commit)

    def _move(self, total: dict[str, int]) -> str:
        settled = total.get("shards.settled", 0)
        states = ", ".join(
            f"{count:,} {name.removeprefix('shards.')}"
            for name, count in sorted(total.items())
            if name.startswith("shards.") and count
        )
        done = min(self._all, total.get("chunks_done", 0))
        money = f"{total.get('rows', 0):,} rows, at most ${total.get('usd_nano', 0) / 1e9:,.4f}"
        self._bars.update(self._chunk_bar, completed=done, note=money)
        self._bars.update(self._shard_bar, completed=settled, note=states)
        return f"{done:,} of {self._all:,} chunks, {money}; shards: {states}"
