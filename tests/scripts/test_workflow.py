"""What GitHub and pre-commit run: the project's scripts, and actions at pinned commits."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def jobs() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return dict(loaded["jobs"])


def steps() -> list[dict[str, Any]]:
    return [step for job in jobs().values() for step in job["steps"]]


def is_script(command: str) -> bool:
    path = ROOT / command
    return command.startswith("./scripts/") and path.is_file() and os.access(path, os.X_OK)


def test_each_command_is_a_script_of_the_project() -> None:
    commands = [step["run"] for step in steps() if "run" in step]
    assert {"./scripts/test", "./scripts/coverage", "./scripts/release"} <= set(commands)
    assert [command for command in commands if not is_script(command)] == []


def test_actions_are_pinned_to_commits_and_say_their_version() -> None:
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported = SpecifierSet(project["requires-python"])
    expected = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in supported]
    assert jobs()["test"]["strategy"]["matrix"]["python"] == expected


def test_hooks_before_a_commit_are_scripts_and_download_nothing() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [each["repo"] for each in config["repos"]] == ["local"]
    for hook in config["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert is_script(hook["entry"])


def test_forms_for_issues_have_what_github_asks_for() -> None:
    for name in ("bug", "feature"):
        path = ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert form["name"]
        assert form["description"]
        assert len({field["id"] for field in form["body"]}) == len(form["body"])
