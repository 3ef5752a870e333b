"""Every command that the documents show is run, or checked in the way that the table says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from e2e.harness import ROOT, Done, emulator, invoke, start, texts
from support.waiting import DEADLINE

DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")),
)
_BLOCK = re.compile(r"^```(console|bash|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Beginnings of commands that are not ours to run, and why.
FOREIGN = {
    "export": "a variable of the user's",
    "gcloud": "needs an account",
    "bq": "needs an account",
    "curl": "the emulator's tests speak to it with curl",
    "git": "needs the published repository",
    "cd": "follows git clone",
    "pip": "needs an index",
    "docker": "needs an engine",
    "python": "checked to name a script that is there",
    ".venv/bin/python": "checked to name a script that is there",
    "go": "needs an index",
    "eval": "takes over what a script prints, which its own test sees",
}
# Scripts that are checked elsewhere, and where.
SCRIPTS = {
    "./scripts/demo": "tests/e2e/test_demo.py",
    "./scripts/bigquery-server": "tests/support/bigquery.py",
    "./scripts/engines": "tests/scripts/test_engines_script.py",
    "./scripts/gcs-server": "tests/support/gcs.py",
    "./scripts/simulate": "tests/simulation",
    "./scripts/kills": "tests/kills",
    "./scripts/dataflow-build": "tests/scripts/test_dataflow_scripts.py",
    "./scripts/dataflow-launch": "tests/scripts/test_dataflow_scripts.py",
    "./scripts/check-image": "tests/scripts/test_image.py",
    "./scripts/setup": "",
    "./scripts/check": "",
    "./scripts/test": "",
}
# Commands with these need an engine that must be installed: tests/e2e/test_engines.py runs them.
INSTALLED = ("$PRISM", "$FLINK_JAR")
PLACES = (
    "archive.yaml",
    "configs/real-service.yaml",
    "configs/handbook.yaml",
    "configs/demo.yaml",
    "configs/dataflow.yaml",
)


@dataclass(frozen=True)
class Command:
    document: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}: {shlex.join(self.words)}"


def commands_of(document: str) -> Iterator[Command]:
    text = (ROOT / document).read_text(encoding="utf-8")
    for block in _BLOCK.findall(text):
        for line in block[1].replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words:
                yield Command(document, tuple(words))


def needs_engine(command: Command) -> bool:
    return any(name in word for word in command.words for name in INSTALLED)


# The documents show these after a run that went well.
NOTHING_TO_DO = (
    "is settled; there is nothing to stop",
    "no reject with stopped had a request",
    "no answer is in question",
)
ALL = [command for document in DOCUMENTS for command in commands_of(document)]


def test_the_documents_show_commands_at_all() -> None:
    for document in ("README.md", "docs/guide.md"):
        programs = {command.words[0] for command in commands_of(document)}
        assert "reembed" in programs, f"{document} shows no reembed command"
    assert "./scripts/demo" in {command.words[0] for command in commands_of("README.md")}


def test_every_command_is_known() -> None:
    unknown = [str(c) for c in ALL if c.words[0] not in {"reembed", *FOREIGN, *SCRIPTS}]
    assert not unknown, f"tell this test how these are checked: {unknown}"


def test_scripts_are_there_and_have_no_syntax_error() -> None:
    for command in ALL:
        if command.words[0] in SCRIPTS:
            script = ROOT / command.words[0]
            assert os.access(script, os.X_OK), f"{command}: {script} cannot be executed"
            if script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash"):
                subprocess.run(["bash", "-n", str(script)], check=True)
            where = SCRIPTS[command.words[0]]
            assert not where or (ROOT / where).exists(), f"{where} no longer checks {command}"
        elif command.words[0].endswith("python"):
            scripts = [word for word in command.words[1:] if word.endswith(".py")]
            assert all((ROOT / word).is_file() for word in scripts), str(command)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d != "docs/emulator.md"])
def test_the_commands_of_a_document_work_in_their_order(document: str, tmp_path: Path) -> None:
    """On texts of this machine and the emulator; everything else stays as it is written."""
    shown = [c for c in commands_of(document) if c.words[0] == "reembed" and not needs_engine(c)]
    if not shown:
        pytest.skip(f"{document} shows no reembed command")
    for name, text in texts(30).items():
        (tmp_path / name).write_text(text)
    with emulator() as remote:
        for command in shown:
            done = _run_here(command, tmp_path, remote.url)
            # At a cap there is work left: as the guide says, come again.
            idle = done.code == 2 and any(words in done.err for words in NOTHING_TO_DO)
            assert done.code == 0 or idle, f"{command} ended {done.code}: {done.err}"


def _run_here(command: Command, folder: Path, url: str) -> Done:
    words, after = list(command.words[1:]), []
    if "--" in words:
        words, after = words[: words.index("--")], words[words.index("--") :]
    known = [word for word in words if word in PLACES]
    assert known, f"{command}: no configuration that this test knows; use one of {PLACES}"
    config = ROOT / (known[0] if known[0].startswith("configs/") else "configs/real-service.yaml")
    words = [str(config) if word in PLACES else word for word in words]
    words = [re.sub(r"^gs://[a-z-]+", str(folder), word) for word in words]
    if "--run-dir" not in words:
        words += ["--run-dir", str(folder / "run")]
    if "--runner=DataflowRunner" in after:
        after = []  # submitted in tests/e2e/test_dataflow.py
    local = {
        "service.api_key_secret": "null",
        "source.files": f"['{folder}/*.txt']",
        "service.base_url": url,
        "batch.poll_seconds": "[0.1, 0.4]",
    }
    for key, value in local.items():
        words += ["--set", f"{key}={value}"]
    return invoke(*words, *after)


def test_the_emulator_starts_as_its_page_says(tmp_path: Path) -> None:
    shown = [c for c in commands_of("docs/emulator.md") if c.words[:2] == ("reembed", "emulator")]
    assert shown, "docs/emulator.md does not say how to start it"
    for command in shown:
        assert "--port" in command.words, "give a port, which this test replaces by a free one"
        words = list(command.words[1:])
        words[words.index("--port") + 1] = "0"
        words = [str(tmp_path / word) if word.startswith("./") else word for word in words]
        process = start(*words)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"^reembed emulator at (http://127\.0\.0\.1:\d+)", line)
            assert found, line
            httpx.get(f"{found.group(1)}/emulator/jobs").raise_for_status()
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
