"""The API key stands in no file, log or output, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.harness import Done, Project, Remote, emulator, reembed, texts

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
