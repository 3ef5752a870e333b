"""`reembed doctor`: print every check; with --live, send two tiny jobs and keep what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reembed.cli.logs import logs_to_file
from reembed.cli.screen import Screen, console, print_json
from reembed.driver.clock import SystemClock
from reembed.driver.session import open_service
from reembed.ledger.run_dir import open_run_dir
from reembed.runs.doctor import check_all
from reembed.runs.live_check import LiveFindings, check_live
from reembed.runs.loading import load_service_config
from reembed.storage.open import open_storage

_PATIENCE = 24 * 3600.0


def doctor_command(
    path: str, overrides: Sequence[str], run_dir: str | None, live: bool, as_json: bool
) -> int:
    """Check; 0 when everything is in place, else 1."""
    loaded = load_service_config(path, overrides, run_dir)
    storage = open_storage()
    found: dict[str, Any] = {"schema": 1, "checks": []}
    with logs_to_file(loaded.config.run_dir), Screen(as_json) as screen:
        for check in check_all(loaded, storage, lambda: open_service(loaded.config)):
            found["checks"].append({"name": check.name, "ok": check.ok, "message": check.message})
            if not as_json:
                mark, colour = ("ok  ", "green") if check.ok else ("no  ", "red")
                console().print(
                    f"{mark}{check.name}: {check.message}", style=colour, soft_wrap=True
                )
        ok = all(check["ok"] for check in found["checks"])
        if live and ok:
            with open_service(loaded.config) as service:
                clock = SystemClock()
                seen = check_live(loaded.config, service, clock, _PATIENCE, screen.say)
            open_run_dir(loaded.config.run_dir).write_live_findings(seen.as_json())
            found["live"] = seen.as_json()
            if not as_json:
                _show_live(seen)
    if as_json:
        print_json(found)
    return 0 if ok else 1


def _show_live(seen: LiveFindings) -> None:
    out = console()
    out.print(f"keys come back: file {_yes(seen.file_keys)}, inline {_yes(seen.inline_keys)}")
    out.print(f"lines may name the model: {_yes(seen.model_in_lines)}")
    sizes = ", ".join(str(size) for size in seen.dimensions)
    out.print(f"dimensions {sizes}; length {seen.norm_min:.6f} to {seen.norm_max:.6f}")
    if seen.online_cosine is not None:
        out.print(f"batch against online vector: cosine {seen.online_cosine:.6f}")
    listed = (
        "not within a minute" if seen.listed_seconds is None else f"{seen.listed_seconds:.1f} s"
    )
    out.print(f"a new job shows in the list after: {listed}")
    out.print(f"result files can be deleted: {_yes(seen.result_deletable)}")


def _yes(value: bool | None) -> str:
    return "unknown" if value is None else "yes" if value else "no"
