"""Habits of the tests: no clock decides, and a module's test lies where one looks for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src"
# One helper waits for conditions; a clock is what the code under test sleeps by.
MAY_SLEEP = {"support/waiting.py", "support/clocks.py"}
SLEEPS = {"time.sleep", "asyncio.sleep", "trio.sleep", "anyio.sleep"}
STOPWATCHES = {"time.monotonic", "time.perf_counter", "time.process_time"}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((TESTS / module).read_text(encoding="utf-8"))


def every_module() -> list[str]:
    return sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))


def names_of(tree: ast.Module) -> dict[str, str]:
    """The full name behind each name that a module imports."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def calls_in(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    """The full names of what is called, with the line: ``time.sleep:12``."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            head, dot, rest = ast.unparse(call.func).partition(".")
            yield f"{names.get(head, head)}{dot}{rest}:{call.lineno}"


def found_in(module: str, wanted: set[str]) -> list[str]:
    tree = tree_of(module)
    calls = calls_in(tree, names_of(tree))
    return [f"{module}: {call}" for call in calls if call.split(":")[0] in wanted]


def test_no_test_sleeps_by_the_wall_clock() -> None:
    sleeping = [
        found
        for module in every_module()
        if module not in MAY_SLEEP
        for found in found_in(module, SLEEPS)
    ]
    assert not sleeping, f"{sleeping}: wait for a condition, by support.waiting.wait_until"


def test_what_may_sleep_does() -> None:
    assert {module for module in MAY_SLEEP if found_in(module, SLEEPS)} == MAY_SLEEP


def test_nothing_is_asserted_of_the_time_that_something_took() -> None:
    measured = [
        f"{module}: {call}"
        for module in every_module()
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Assert)
        for call in calls_in(node, names_of(tree_of(module)))
        if call.split(":")[0] in STOPWATCHES
    ]
    assert not measured, f"{measured}: a slow machine would fail; count calls, or move a clock"


def test_a_sleep_is_found_under_any_name() -> None:
    text = "import time as t\nfrom time import sleep as rest\nt.sleep(1)\nrest(2)\nclock.sleep(3)\n"
    tree = ast.parse(text)
    found = [call for call in calls_in(tree, names_of(tree)) if call.split(":")[0] in SLEEPS]
    assert found == ["time.sleep:3", "time.sleep:4"]


# Modules without a test file of their own, and the test that runs through them instead: they wire
# others together, or hold nothing but types and constants.
COVERED_ELSEWHERE = {
    "reembed/__main__.py": "cli/test_main.py",
    "reembed/beam/at_the_end.py": "beam/test_run_plan.py",
    "reembed/beam/elements.py": "beam/test_embed.py",
    "reembed/beam/metrics.py": "e2e/test_metrics.py",
    "reembed/beam/read_items.py": "beam/test_run_plan.py",
    "reembed/beam/run_lanes.py": "e2e/test_job_graph.py",
    "reembed/bigquery/base.py": "bigquery/test_client.py",
    "reembed/bigquery/source_reader.py": "bigquery/test_source.py",
    "reembed/cli/control.py": "e2e/test_scheduler.py",
    "reembed/cli/cutover.py": "e2e/test_bigquery_destination.py",
    "reembed/cli/doctor.py": "e2e/test_commands.py",
    "reembed/cli/options.py": "cli/test_main.py",
    "reembed/cli/plan.py": "e2e/test_commands.py",
    "reembed/cli/run.py": "e2e/test_main_job.py",
    "reembed/cli/status.py": "e2e/test_commands.py",
    "reembed/cli/trace.py": "e2e/test_trace.py",
    "reembed/destinations/base.py": "destinations/test_parquet.py",
    "reembed/driver/clock.py": "support/clocks.py",
    "reembed/driver/context.py": "driver/test_session.py",
    "reembed/formats/base.py": "formats/test_extending.py",
    "reembed/machine/actions.py": "machine/test_decide.py",
    "reembed/machine/states.py": "machine/test_snapshot.py",
    "reembed/providers/gemini/sdk.py": "providers/gemini/test_client.py",
    "reembed/runs/embed.py": "e2e/test_main_job.py",
    "reembed/runs/existing.py": "e2e/test_increments.py",
    "reembed/runs/notified.py": "e2e/test_told.py",
    "reembed/runs/options.py": "e2e/test_budget.py",
    "reembed/runs/preflight.py": "e2e/test_refusals.py",
    "reembed/runs/redrive.py": "e2e/test_scheduler.py",
    "reembed/runs/run.py": "e2e/test_main_job.py",
    "reembed/runs/trace.py": "e2e/test_trace.py",
    "reembed/sources/base.py": "sources/test_files.py",
    "reembed/version.py": "test_package.py",
    "reembed_emulator/__main__.py": "emulator/test_main.py",
}
# Where the tests of each package lie.
FOLDERS = {"reembed": "", "reembed_emulator": "emulator"}


def mirror_of(module: str) -> str:
    """Where the test of a module lies: `storage/test_gcs.py` for `reembed/storage/gcs.py`."""
    package, *folders, name = module.split("/")
    place = (FOLDERS[package], *folders, f"test_{name}")
    return "/".join(part for part in place if part)


def modules_with_code() -> list[str]:
    paths = (path for package in FOLDERS for path in (SOURCE / package).rglob("*.py"))
    return sorted(p.relative_to(SOURCE).as_posix() for p in paths if p.name != "__init__.py")


def test_the_test_of_a_module_lies_where_one_looks_for_it() -> None:
    missing = {
        module: mirror_of(module)
        for module in modules_with_code()
        if module not in COVERED_ELSEWHERE and not (TESTS / mirror_of(module)).exists()
    }
    assert not missing, f"{missing}: write these tests, or name the one that covers the module"


def test_what_is_covered_elsewhere_needs_it_and_is() -> None:
    modules = set(modules_with_code())
    assert COVERED_ELSEWHERE.keys() <= modules, "a module that is gone covers nothing"
    own = [module for module in COVERED_ELSEWHERE if (TESTS / mirror_of(module)).exists()]
    assert not own, f"{own}: they have tests of their own now; take them off the list"
    gone = [test for test in COVERED_ELSEWHERE.values() if not (TESTS / test).exists()]
    assert not gone, f"{gone}: name another test that covers the module"
