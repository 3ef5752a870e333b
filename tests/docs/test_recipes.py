"""The recipes are run: crontab line, shell steps of the workflows, notices to a pager."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from e2e.harness import BATCH, ROOT, Done, Remote, emulator, texts
from reembed.cli.exits import COME_AGAIN
from reembed.cli.main import app
from reembed.notifications.notices import RunPlace
from reembed.notifications.notifier import failed_notice
from support.hooks import serve_hook
from support.shells import Shell, open_shell
from support.waiting import DEADLINE, wait_until

RECIPES = ROOT / "docs" / "recipes"
PAGES = "".join((ROOT / "docs" / name).read_text() for name in ("scheduling.md", "observing.md"))
HOUR = 3600.0
_EXPRESSION = re.compile(r"\$\{\{ *(.*?) *\}\}")


def recipe(name: str) -> str:
    return (RECIPES / name).read_text(encoding="utf-8")


def test_every_recipe_is_named_in_the_documents() -> None:
    files = [path for path in RECIPES.rglob("*") if path.is_file()]
    assert len(files) > 6
    for path in files:
        assert f"(recipes/{path.relative_to(RECIPES)})" in PAGES, path


def accepted(words: Sequence[str]) -> bool:
    """Whether the command line takes these words; an error of click's says why not."""
    root = typer.main.get_command(app)
    command = root.commands[words[0]]  # type: ignore[attr-defined]
    return bool(command.make_context(words[0], list(words[1:])))


class Workflow:
    """A workflow of GitHub's: its steps run as its runner would run them, without `uses`."""

    def __init__(self, name: str, shell: Shell, folder: Path) -> None:
        self.text = yaml.safe_load(recipe(f"github-actions/{name}.yml"))
        self.shell, self.folder = shell, folder
        self.values = {
            "secrets.GEMINI_API_KEY": "some-key-of-a-test",
            "github.token": "token",
            "github.event.pull_request.number": "7",
        }

    def step(self, job: str, name: str, **env: str) -> Done:
        """Run a step; its outputs and its summary are found in files of the folder."""
        [step] = [s for s in self.text["jobs"][job]["steps"] if s.get("name") == name]
        script = self.folder / ".step.sh"
        script.write_text(step["run"])
        assert "${{" not in step["run"], "what others may write goes through the environment"
        given = {**self.text["env"], **step.get("env", {})}
        values = {key: _EXPRESSION.sub(self._value, value) for key, value in given.items()}
        files = {name: str(self.folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            Path(path).write_text("")
        return self.shell.run(["bash", "-e", str(script)], self.folder, {**files, **values, **env})

    def _value(self, match: re.Match[str]) -> str:
        return self.values[match.group(1)]

    def take_outputs(self, job: str, step: str) -> None:
        """Let later jobs see what the last step gave out."""
        lines = (self.folder / "GITHUB_OUTPUT").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines)
        for name, expression in self.text["jobs"][job]["outputs"].items():
            [source] = _EXPRESSION.findall(expression)
            assert source == f"steps.{step}.outputs.{name}"
            self.values[f"needs.{job}.outputs.{name}"] = given[name]

    def summary(self) -> str:
        return (self.folder / "GITHUB_STEP_SUMMARY").read_text()


@pytest.fixture
def hours() -> Iterator[Remote]:
    """Jobs that take an hour, by a clock that the test moves."""
    with emulator(pending_seconds=0, running_seconds=HOUR) as served:
        yield served


@pytest.fixture
def desk(tmp_path: Path, hours: Remote) -> Path:
    """A checkout with the configuration where the recipes look for it."""
    folder = tmp_path / "checkout"
    for name, text in texts(30).items():
        path = folder / "backfill" / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config: Mapping[str, Any] = {
        "name": "archive",
        "run_dir": str(tmp_path / "bucket"),
        "source": {"files": ["corpus/**"]},
        "batch": {**BATCH, "max_requests": 17},
        "service": {"base_url": hours.url},
    }
    (folder / "backfill" / "archive.yaml").write_text(yaml.safe_dump(config))
    (folder / "backfill" / "key.env").write_text("export GEMINI_API_KEY=some-key-of-a-test\n")
    return folder


def cron_line() -> tuple[dict[str, str], str]:
    """The crontab's variables, and the command of its line as cron would hand it to the shell."""
    lines = [one for one in recipe("cron/archive.crontab").splitlines() if one and one[0] != "#"]
    *assigned, line = lines
    schedule = re.fullmatch(r"((?:[\d*/,-]+ ){5})(.*)", line)
    assert schedule, line
    assert "%" not in line, "cron would end the command there"
    return dict(one.split("=", 1) for one in assigned), schedule.group(2)


def test_the_shell_parts_take_a_backfill_from_its_price_to_its_end(
    tmp_path: Path, desk: Path, hours: Remote
) -> None:
    with open_shell(tmp_path / "bin") as shell:
        shell.add("pip", 'echo "$@" > pip.called')
        shell.add("gh", 'echo "$@" > gh.called; cat "${7}" > gh.body')
        backfill, advance = (Workflow(name, shell, desk) for name in ("backfill", "advance"))
        _plan_and_say(backfill, hours)
        _submit(backfill, hours)
        _come_again(shell, advance, desk)
        hours.advance(HOUR + 60)
        wait_until(
            lambda: all("RUNNING" not in job["state"] for job in hours.jobs()), "every job ends"
        )
        done = advance.step("advance", "Advance")
        assert done.code == 0, done.err
        assert "backfill/archive.yaml: settled" in advance.summary()
        assert json.loads((desk / "report.json").read_text())["rows"] == 30
        assert len(hours.jobs()) == 2
        _ends_of_cron(shell, desk)
        failed = advance.step("advance", "Advance", CONFIG="backfill/none.yaml")
        assert failed.code == 2
        assert "failed with exit code 2" in advance.summary()


def _plan_and_say(backfill: Workflow, hours: Remote) -> None:
    desk = backfill.folder
    assert backfill.step("plan", "Install").code == 0
    assert (desk / "pip.called").read_text().startswith("install git+https://")
    done = backfill.step("plan", "Plan")
    assert done.code == 0, done.err
    backfill.take_outputs("plan", "plan")
    done = backfill.step("plan", "Say the price")
    assert done.code == 0, done.err
    words = "pr comment 7 --edit-last --create-if-none --body-file comment.md"
    assert (desk / "gh.called").read_text().strip() == words
    plan = json.loads((desk / "plan.json").read_text())
    body = (desk / "comment.md").read_text()
    assert f"at most ${plan['max_usd']}\n" in body
    assert f"Plan {plan['plan']} of archive" in body
    assert (desk / "gh.body").read_text() == body
    assert not hours.jobs()


def _submit(backfill: Workflow, hours: Remote) -> None:
    """Another plan is refused, the approved one sent under its price; again does no harm."""
    other = backfill.step("submit", "Submit", PLAN="0" * 16)
    assert other.code == 2
    assert "--expect-plan" in other.err
    assert not hours.jobs()
    for _ in range(2):
        done = backfill.step("submit", "Submit")
        assert done.code == 0, done.err
        assert "Submitted" in backfill.summary()
        assert len(hours.jobs()) == 2
    report = json.loads((backfill.folder / "report.json").read_text())
    assert report["usd_reserved"] <= float(backfill.values["needs.plan.outputs.max_usd"])


def _come_again(shell: Shell, advance: Workflow, desk: Path) -> None:
    """While jobs run, every scheduler sees success."""
    done = advance.step("advance", "Advance")
    assert done.code == 0, done.err
    assert "not settled yet" in advance.summary()
    variables, line = cron_line()
    done = shell.run(["sh", "-c", line], desk, {**variables, "HERE": str(desk / "backfill")})
    assert (done.code, done.out, done.err) == (0, "", ""), "cron would mail it"
    assert json.loads((desk / "backfill" / "last.json").read_text())["state"] == "open"
    [container] = job_spec()["containers"]
    command = [*container["command"], *container["args"]]
    words = [word.replace("/config/", f"{desk}/backfill/") for word in command]
    assert shell.run(words, desk, {}).code == 0


def _ends_of_cron(shell: Shell, desk: Path) -> None:
    variables, line = cron_line()
    env = {**variables, "HERE": str(desk / "backfill")}
    done = shell.run(["sh", "-c", line], desk, env)
    assert (done.code, done.out) == (0, "")
    (desk / "backfill" / "archive.yaml").rename(desk / "archive.yaml")
    failed = shell.run(["sh", "-c", line], desk, env)
    assert json.loads(failed.out)["severity"] == "ERROR", "what cron mails is the last line"
    (desk / "archive.yaml").rename(desk / "backfill" / "archive.yaml")


def job_spec() -> Any:
    """What one task of the Cloud Run job is."""
    return yaml.safe_load(recipe("cloud-run/job.yaml"))["spec"]["template"]["spec"]["template"][
        "spec"
    ]


def test_the_workflows_ask_before_they_pay() -> None:
    backfill = yaml.safe_load(recipe("github-actions/backfill.yml"))
    submit = backfill["jobs"]["submit"]
    assert submit["environment"] == "backfill"
    assert submit["if"] == "github.event_name == 'push'"
    assert submit["needs"] == "plan"
    for step in backfill["jobs"]["plan"]["steps"]:
        assert "GEMINI" not in str(step), "planning needs no key"
    for name in ("backfill", "advance"):
        for job in yaml.safe_load(recipe(f"github-actions/{name}.yml"))["jobs"].values():
            assert 0 < job["timeout-minutes"] <= 360


def test_the_cloud_run_job_comes_again_by_its_schedule_alone() -> None:
    spec = job_spec()
    assert spec["maxRetries"] == 0
    assert 600 <= spec["timeoutSeconds"] <= 168 * 3600


def test_systemd_takes_come_again_for_success() -> None:
    units = {}
    for kind in ("service", "timer"):
        units[kind] = configparser.ConfigParser(strict=False, interpolation=None)
        units[kind].optionxform = str  # type: ignore[assignment, method-assign]
        units[kind].read_string(recipe(f"systemd/reembed-advance.{kind}"))
    assert units["service"]["Service"]["SuccessExitStatus"] == str(COME_AGAIN)
    assert accepted(shlex.split(units["service"]["Service"]["ExecStart"])[1:])
    assert units["timer"]["Timer"]["OnUnitInactiveSec"] == "15min"


def test_the_dag_skips_on_come_again() -> None:
    tree = ast.parse(recipe("composer/advance_dag.py"))
    compile(tree, "advance_dag.py", "exec")
    given: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "PodOperator" in ast.unparse(node.func):
            given = {str(keyword.arg): keyword.value for keyword in node.keywords}
    assert ast.literal_eval(given["skip_on_exit_code"]) == COME_AGAIN
    assert accepted(ast.literal_eval(given["arguments"]))


def test_the_pager_takes_a_notice_once() -> None:
    place = RunPlace("archive", "a1b2c3", 1, 0, "gs://bucket/run")
    notice = failed_notice(place, {}, "the service refuses the key; check GEMINI_API_KEY")
    script = RECIPES / "notify" / "pagerduty.py"
    assert os.access(script, os.X_OK)
    with serve_hook() as hook:
        env = {
            "PATH": os.environ["PATH"],
            "PAGERDUTY_ROUTING_KEY": "routing",
            "PAGERDUTY_URL": hook.url,
            "no_proxy": "127.0.0.1",
        }
        words = [sys.executable, str(script)]
        for _ in range(2):
            subprocess.run(words, input=notice.body(False), env=env, check=True, timeout=DEADLINE)
        first, second = hook.bodies()
    assert first == second
    assert first["dedup_key"] == notice.id
    assert first["routing_key"] == "routing"
    assert first["event_action"] == "trigger"
    assert first["payload"]["severity"] == "error"
    assert first["payload"]["source"] == "gs://bucket/run"
    assert "check GEMINI_API_KEY" in first["payload"]["summary"]
