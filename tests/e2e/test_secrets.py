"""The API key stands in no file, log or output, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.harness import Done, Project, Remote, emulator, reembed, start, texts
from support.waiting import DEADLINE, wait_until

KEY = "some-secret-AIzaSy0123456789abcdefghijklmnop"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Remote]:
    with emulator(expected_key=KEY, state_dir=tmp_path / "service") as served:
        yield served


def holders(folder: Path) -> list[Path]:
    """Files that hold the key, plain or in base64's or a URL's clothes."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and any(form in path.read_bytes() for form in forms()):
            found.append(path)
    return found


def forms() -> list[bytes]:
    import base64

    plain = KEY.encode()
    return [plain, plain[8:], base64.b64encode(plain)[:40]]


def clean(done: Done) -> None:
    assert KEY not in done.out + done.err
    assert KEY[8:] not in done.out + done.err


def test_the_key_is_nowhere_after_a_run(
    project: Callable[..., Project], guarded: Remote, tmp_path: Path
) -> None:
    job = project(guarded.url).write(texts(12))
    for command in (("doctor", "--live"), ("plan",), ("run",), ("status", "--json")):
        done = reembed(command[0], job.config, *command[1:], GEMINI_API_KEY=KEY)
        assert done.code == 0, done.err + done.out
        clean(done)
    assert job.results().report["rows"] == 12
    assert holders(tmp_path) == []
    commit = (job.run_dir / "ledger" / "commit.0001").read_text()
    assert '"key_hash":""' not in commit, "the salted hash is what resumes compare"


def test_the_key_is_nowhere_after_trouble(
    project: Callable[..., Project], guarded: Remote, tmp_path: Path
) -> None:
    job = project(guarded.url, service={"timeout_seconds": 5}).write(texts(3))
    wrong = KEY + "-but-wrong"
    refused = reembed("run", job.config, GEMINI_API_KEY=wrong)
    assert refused.code == 2
    assert "GEMINI_API_KEY" in refused.err
    clean(refused)
    guarded.faults({"on": "batches.create", "do": "status", "status": 400, "message": KEY})
    other = reembed("run", job.config, "--run-dir", tmp_path / "other", GEMINI_API_KEY=KEY)
    assert other.code == 1
    assert "Traceback" not in other.err
    clean(other)
    guarded.faults()
    state = [path for path in holders(tmp_path) if "service" not in path.parts]
    assert state == []


def test_a_key_is_asked_for_where_the_service_is_not_on_this_machine(
    project: Callable[..., Project],
) -> None:
    job = project("https://embedding.invalid").write(texts(1))
    done = reembed("run", job.config)
    assert done.code == 2
    assert "GEMINI_API_KEY" in done.err
    odd = reembed("run", job.config, GEMINI_API_KEY="two words")
    assert odd.code == 2
    assert "two words" not in odd.err


def descendants(root: int) -> dict[int, bytes]:
    """The command lines of a process and of all that it started, as anybody here can read them."""
    parents: dict[int, int] = {}
    lines: dict[int, bytes] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            lines[int(entry.name)] = (entry / "cmdline").read_bytes()
            stat = (entry / "stat").read_text().rpartition(")")[2]
        except OSError:
            continue  # ended meanwhile
        parents[int(entry.name)] = int(stat.split()[1])
    family = {root}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return {number: lines[number] for number in family if number in lines}


def test_no_process_shows_the_key_in_its_command_line(
    project: Callable[..., Project], guarded: Remote, tmp_path: Path
) -> None:
    job = project(guarded.url, batch={"max_requests": 12}).write(texts(24))
    many = ["--", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    process = start("run", job.config, *many, GEMINI_API_KEY=KEY)
    seen: dict[int, bytes] = {}
    try:

        def has_ended() -> bool:
            seen.update(descendants(process.pid))
            return process.poll() is not None

        wait_until(has_ended, "the run ends", every=0.1)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, err
    assert len(seen) >= 3, "the command and its workers"
    assert not [line for line in seen.values() if KEY.encode() in line]
    clean(Done(0, out, err))
    assert [path for path in holders(tmp_path) if "service" not in path.parts] == []


def test_the_key_is_in_no_reject_though_the_service_repeats_it(
    project: Callable[..., Project], guarded: Remote, tmp_path: Path
) -> None:
    job = project(guarded.url).write(texts(24))
    guarded.faults({"job": 1, "do": "fail_rows", "rows": [1], "code": 3, "message": f"key {KEY}"})
    first = reembed("run", job.config, GEMINI_API_KEY=KEY)
    assert first.code == 0, first.err
    [reject] = job.results().rejects()
    assert reject["message"] == "key " + "*" * len(KEY)
    again = reembed("redrive", job.config, GEMINI_API_KEY=KEY)
    assert again.code == 0, again.err
    clean(first)
    clean(again)
    assert [path for path in holders(tmp_path) if "service" not in path.parts] == []
