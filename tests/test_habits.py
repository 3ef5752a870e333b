"""The habits of the tests: nothing depends on how fast the machine is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
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
